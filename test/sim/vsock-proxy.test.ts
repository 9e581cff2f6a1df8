/** The vsock-proxy's relay: whole streams, half-closed ones, its limit of workers, and its end. */
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdirSync, readFileSync } from "node:fs"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { stringify } from "yaml"
import { writeFileInOneStep } from "../../sim/files.js"
import { writeSimInfo } from "../../sim/info.js"
import { KMS_HOST, vsockPath } from "../../sim/paths.js"
import { startVsockProxy, type VsockProxy } from "../../sim/vsock-proxy/proxy.js"
import { log, startTestSimulator, type TestSimulator } from "./simulator.js"

let sim: TestSimulator
let remote: Server
let proxy: VsockProxy
const accepted: Socket[] = []
beforeAll(async () => {
  sim = await startTestSimulator()
  // Answers a whole stream with its hash, once it has ended.
  remote = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket)
    const hash = createHash("sha256")
    socket.on("data", (bytes) => hash.update(bytes))
    socket.on("end", () => socket.end(hash.digest("hex")))
    socket.on("error", () => socket.destroy())
  })
  remote.listen(0, "127.0.0.1")
  await once(remote, "listening")
  const { port } = remote.address() as AddressInfo
  const hosts = { [`${KMS_HOST}:443`]: { host: "127.0.0.1", port } }
  writeSimInfo(sim.paths, { ...sim.info, hosts })
  const allowlist = [{ address: KMS_HOST, port: 443 }]
  writeFileInOneStep(sim.paths.vsockProxyConfig, stringify({ allowlist }))
})
afterEach(() => proxy.stop())
afterAll(async () => {
  for (const socket of accepted) socket.destroy()
  remote.close()
  await sim.stop()
})

async function start(workers: number): Promise<string> {
  proxy = await startVsockProxy({
    paths: sim.paths,
    localPort: 8000,
    remoteAddress: KMS_HOST,
    remotePort: 443,
    workers,
    configFile: sim.paths.vsockProxyConfig,
    log,
  })
  return vsockPath(sim.paths.vsockDir, 3, 8000)
}

/** Sends a stream, ends it, and returns all that comes back. */
async function exchange(path: string, bytes: Uint8Array): Promise<string> {
  const socket = connect({ path, allowHalfOpen: true })
  socket.end(bytes)
  let answer = ""
  for await (const chunk of socket) answer += String(chunk)
  return answer
}

describe("vsock-proxy", () => {
  it("relays whole streams both ways, and the end of one way alone", async () => {
    const path = await start(4)
    const bytes = randomBytes(5 * 1024 * 1024)
    expect(await exchange(path, bytes)).toBe(createHash("sha256").update(bytes).digest("hex"))
  })

  it("records both directions when told to", async () => {
    mkdirSync(sim.paths.recordDir)
    const path = await start(4)
    const answer = await exchange(path, Buffer.from("recorded"))
    expect(answer).toHaveLength(64)
    const file = join(sim.paths.recordDir, "3_8000.bin")
    expect(readFileSync(file, "utf8")).toBe(`recorded${answer}`)
  })

  it("relays as many at once as it has workers, and the others after them", async () => {
    const path = await start(1)
    const before = accepted.length
    const first = connect(path)
    first.write("x")
    await expect.poll(() => accepted.length).toBe(before + 1)
    const second = exchange(path, Buffer.from("waits"))
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(accepted).toHaveLength(before + 1)
    first.destroy()
    expect(await second).toBe(createHash("sha256").update("waits").digest("hex"))
  })

  it("ends its clients when it stops", async () => {
    const path = await start(1)
    const client = connect(path)
    client.write("x")
    client.resume()
    await once(client, "connect")
    client.on("error", () => client.destroy())
    const closed = new Promise((resolve) => client.once("close", resolve))
    await proxy.stop()
    await closed
    await expect(exchange(path, Buffer.from("x"))).rejects.toMatchObject({ code: "ENOENT" })
    await start(1)
  })
})
