/**
 * The load client against servers whose faults are known: it counts what it should, and cannot call a
 * load good that was not.
 */
import { X509Certificate } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer, type Server } from "node:https"
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server as TcpServer,
} from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { WebAuthority, type WebCertificate } from "../../../sim/testbed/web-certificates.js"
import { Load, summaryOf } from "./load.js"
import type { LoadOptions, LoadReport } from "./report.js"
import { latencyOf } from "./tally.js"

const PAGE = "a page\n"

let dir: string
let authority: WebAuthority
let certificates: Record<"rsa" | "ecdsa", WebCertificate>
const stops: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tlskeep-load-"))
  authority = await WebAuthority.create()
  certificates = { rsa: await authority.issue("RSA-2048"), ecdsa: await authority.issue("P-256") }
})
afterAll(() => rm(dir, { recursive: true }))
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

function keysOf({ privateKey, certificate, chain }: WebCertificate) {
  return { key: privateKey, cert: certificate + chain }
}

function fingerprintOf({ certificate }: WebCertificate): string {
  return new X509Certificate(certificate).fingerprint256.replaceAll(":", "").toLowerCase()
}

async function listen<Listening extends TcpServer>(server: Listening, port = 0): Promise<number> {
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve))
  return (server.address() as AddressInfo).port
}

/** A server that serves the page, and is stopped with the connections it has. */
async function serve(web: WebCertificate, port = 0): Promise<{ server: Server; port: number }> {
  const server = createServer(keysOf(web), (_request, response) => response.end(PAGE))
  const listening = await listen(server, port)
  stops.push(() => close(server))
  return { server, port: listening }
}

async function close(server: Server | TcpServer): Promise<void> {
  if (!server.listening) return
  const closed = new Promise((resolve) => server.close(resolve))
  if ("closeAllConnections" in server) server.closeAllConnections()
  await closed
}

function start(port: number, options: Partial<LoadOptions> = {}): Load {
  const load = Load.start({ port, ca: authority.rootPem, ...options }, join(dir, "load.log"))
  stops.push(() => load.stop())
  return load
}

/** What the failures of a load that could do nothing else were. */
async function reasonsOf(port: number, options: Partial<LoadOptions> = {}): Promise<string[]> {
  const load = start(port, options)
  await load.until(({ failed }) => failed >= 8)
  const report = await load.stop()
  expect(report.succeeded).toBe(0)
  expectWhole(report)
  return Object.keys(report.reasons)
}

function expectWhole({ connects, succeeded, failed, reasons }: LoadReport): void {
  expect(succeeded + failed).toBe(connects)
  expect(Object.values(reasons).reduce((sum, count) => sum + count, 0)).toBe(failed)
}

describe.each(["rsa", "ecdsa"] as const)("a server with an %s key", (kind) => {
  test("full handshakes over both protocols, none failed", async () => {
    const { port } = await serve(certificates[kind])
    const load = start(port)
    await load.more(100)
    const report = await load.stop()
    expectWhole(report)
    expect(report.failed).toBe(0)
    expect(report.failures).toEqual([])
    expect(Object.keys(report.protocols).sort()).toEqual(["TLSv1.2", "TLSv1.3"])
    expect(report.presented.map(({ fingerprint }) => fingerprint)).toEqual([
      fingerprintOf(certificates[kind]),
    ])
    const { p50, p99, max } = report.handshakeMs
    expect(p50).toBeGreaterThan(0)
    expect(p99).toBeGreaterThanOrEqual(p50)
    expect(max).toBeGreaterThanOrEqual(p99)
    expect(report.requestMs.p50).toBeGreaterThanOrEqual(p50)
    expect(summaryOf(report)).toContain("0 failed")
  })
})

test("a server that stops and comes back: every attempt in between is a failure", async () => {
  const first = await serve(certificates.ecdsa)
  const load = start(first.port)
  await load.more(50)
  const stoppedAt = Date.now()
  await close(first.server)
  await load.until(({ failed }) => failed >= 100)
  await serve(certificates.ecdsa, first.port)
  await load.more(50)
  const report = await load.stop()
  expectWhole(report)
  expect(report.failed).toBeGreaterThanOrEqual(100)
  expect(report.reasons["connect: ECONNREFUSED"]).toBeGreaterThanOrEqual(90)
  const failedAt = report.failures.map(({ at }) => at)
  for (const at of failedAt) expect(at).toBeGreaterThanOrEqual(stoppedAt)
  // But for what was under way when the server stopped or came back, one attempt of each client.
  const [first5th = Number.NaN, last5th = Number.NaN] = [failedAt.at(4), failedAt.at(-5)]
  expect(report.longestGapMs).toBeGreaterThanOrEqual(last5th - first5th)
})

test("a certificate that is exchanged: the time of the last with the old, the first with the new", async () => {
  const { server, port } = await serve(certificates.ecdsa)
  const load = start(port)
  await load.more(50)
  server.setSecureContext(keysOf(certificates.rsa))
  const [before, after] = [fingerprintOf(certificates.ecdsa), fingerprintOf(certificates.rsa)]
  await load.settlesOn(after)
  await expect(load.settlesOn(before, { timeoutMs: 500 })).rejects.toMatchObject({
    code: "process-silent",
  })
  const { presented, failed } = await load.stop()
  expect(failed).toBe(0)
  expect(presented.map(({ fingerprint }) => fingerprint)).toEqual([before, after])
  expect(presented[1]?.last).toBeGreaterThan(presented[0]?.last ?? Number.NaN)
})

describe("failures have a stage and a reason", () => {
  test("a root that does not vouch for the server", async () => {
    const { port } = await serve(certificates.ecdsa)
    const ca = (await WebAuthority.create()).rootPem
    expect(await reasonsOf(port, { ca })).toEqual([
      expect.stringMatching(/^handshake: (SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT.*)$/),
    ])
  })

  test("another name than was asked for", async () => {
    const { port } = await serve(certificates.ecdsa)
    const serverNames = ["elsewhere.test"]
    expect(await reasonsOf(port, { serverNames })).toEqual([
      "handshake: ERR_TLS_CERT_ALTNAME_INVALID",
    ])
  })

  test("a server without the protocol", async () => {
    const server = createServer({ ...keysOf(certificates.ecdsa), minVersion: "TLSv1.3" })
    const port = await listen(server)
    stops.push(() => close(server))
    expect(await reasonsOf(port, { protocols: ["TLSv1.2"] })).toEqual([
      "handshake: ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
    ])
  })

  test("a server that takes connections and says nothing", async () => {
    const server = createTcpServer((socket) => {
      stops.push(async () => socket.destroy())
    })
    const port = await listen(server)
    stops.push(() => close(server))
    expect(await reasonsOf(port, { timeoutMs: 100 })).toEqual(["handshake: timeout"])
  })

  test("connections closed in the handshake", async () => {
    const server = createTcpServer((socket) => socket.destroy())
    const port = await listen(server)
    stops.push(() => close(server))
    for (const reason of await reasonsOf(port)) {
      expect(reason).toMatch(/^(connect|handshake): (ECONNRESET|EPIPE|closed)$/)
    }
  })

  test.each([
    ["another status than 200", "status-503", 503, undefined],
    ["less of a page than was announced", "truncated", 200, String(PAGE.length + 1)],
  ])("%s", async (_name, reason, status, length) => {
    const server = createServer(keysOf(certificates.ecdsa), (_request, response) => {
      const contentLength = length ?? String(PAGE.length)
      response.writeHead(status, { "content-length": contentLength, connection: "close" })
      response.write(PAGE, () => response.socket?.destroySoon())
    })
    const port = await listen(server)
    stops.push(() => close(server))
    expect(await reasonsOf(port)).toEqual([`request: ${reason}`])
  })
})

test("latencies are the nearest ranks of all samples", () => {
  const samples = Array.from({ length: 200 }, (_, index) => 200 - index)
  expect(latencyOf(samples)).toEqual({ p50: 100, p99: 198, max: 200 })
  expect(latencyOf([7])).toEqual({ p50: 7, p99: 7, max: 7 })
  expect(latencyOf([])).toEqual({ p50: 0, p99: 0, max: 0 })
})
