/** Doctor's checks of permissions, the web server's certificate and the agent. */
import { X509Certificate } from "node:crypto"
import { chmod, chown, mkdir, writeFile } from "node:fs/promises"
import { createServer as createHttpServer, type Server as HttpServer } from "node:http"
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net"
import { dirname, join } from "node:path"
import { createServer as createTlsServer } from "node:tls"
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import type { AgentStatus } from "../../parent/agent/agent-status.js"
import { agent } from "../../parent/doctor/checks/agent.js"
import { listener } from "../../parent/doctor/checks/listener.js"
import { permissions } from "../../parent/doctor/checks/permissions.js"
import { handshake } from "../../parent/doctor/handshake.js"
import { certificateFile, keyFile, runFiles } from "../../parent/doctor/run-files.js"
import { RunDir } from "../../parent/run-dir.js"
import { uriPem } from "../../parent/target/uri-pem.js"
import type { WebCertificate } from "../../sim/testbed/web-certificates.js"
import { type ConfigChange, DoctorHost, outcomes } from "./doctor-fixture.js"
import { webAuthority } from "./key-objects.js"

let host: DoctorHost
const servers: (Server | HttpServer)[] = []
beforeEach(async () => {
  host = await DoctorHost.create()
})
afterEach(async () => {
  for (const server of servers.splice(0)) server.close()
  await host.remove()
})

it("looks at the files that the agent keeps", async () => {
  const config = host.config()
  const runDir = await RunDir.open(host.runDir)
  const [token] = config.tokens
  if (token === undefined) throw new Error("no token")
  expect(certificateFile(config, token)).toBe(runDir.certificateFile("httpd", "web"))
  expect(keyFile(config, token)).toBe(runDir.certificateFile("httpd-key", "web"))
  expect(runFiles(config).endpoint).toBe(runDir.endpointFile)
  expect(runFiles(config).agentSocket).toBe(runDir.agentSocket)
  expect(dirname(runDir.pinFile("web"))).toBe(runFiles(config).pins)
  await runDir.newControlSecret()
  await expect(chmod(runFiles(config).controlSecret, 0o600)).resolves.toBeUndefined()
})

describe("permissions", () => {
  beforeEach(async () => {
    const runDir = await RunDir.open(host.runDir)
    await runDir.newControlSecret()
    await runDir.pin("web", undefined, process.getgid?.() ?? 0)
    await host.file("tlskeep.yaml", "")
    await host.file("web.conf", 'SSLCertificateKeyFile "pkcs11:token=web?pin-source=file:/x"\n')
  })
  const find = (change?: ConfigChange) => host.find(permissions, change)
  const withPin = () => {
    const target = { Snippet: { path: join(host.dir, "web.conf") } }
    const source = { S3: { uri: "s3://keys/web.json" } }
    return { tokens: [{ label: "web", pin: "s3cr3tpin", source, target }] }
  }

  it("are as the agent leaves them", async () => {
    expect(outcomes(await find())).toEqual(["ok"])
  })

  it("let others read the configuration only without PINs", async () => {
    expect(outcomes(await find(withPin()))).toEqual(["problem config-pin-readable"])
    await chmod(join(host.dir, "tlskeep.yaml"), 0o600)
    expect(outcomes(await find(withPin()))).toEqual(["ok"])
  })

  it("are not there before the agent", async () => {
    const options = { run_dir: join(host.dir, "none") }
    expect(outcomes(await find({ options }))).toEqual(["unknown run-dir-missing"])
  })

  it.each([
    ["run", 0o777, "run-dir-writable"],
    ["run/control-secret", 0o640, "control-secret-readable"],
    ["run/pins/776562.pin", 0o644, "pin-readable"],
  ])("of %s may not be %o: %s", async (name, mode, code) => {
    await chmod(join(host.dir, name), mode)
    const [finding] = await find()
    expect([finding?.level, finding?.code]).toEqual(["problem", code])
    expect(finding?.advice).toContain("chmod")
  })

  it("belong to root", async () => {
    await chown(host.runDir, 65534, 65534)
    expect(outcomes(await find())).toEqual(["problem run-dir-not-roots"])
  })

  it("close a server's file that holds a PIN", async () => {
    const path = await host.file(
      "web.conf",
      'SSLCertificateKeyFile "pkcs11:x?pin-value=s3cr3tpin"\n',
    )
    const findings = await find()
    expect(outcomes(findings)).toEqual(["problem target-pin-readable"])
    expect(JSON.stringify(findings)).not.toContain("s3cr3tpin")
    await chmod(path, 0o640)
    expect(outcomes(await find())).toEqual(["ok"])
  })

  it("close a key file of the provider's that holds a PIN", async () => {
    const name = "run/certificates/httpd-key-776562.pem"
    await host.file(name, uriPem("pkcs11:token=web?pin-source=file:/x"))
    expect(outcomes(await find())).toEqual(["ok"])
    await host.file(name, uriPem("pkcs11:token=web?pin-value=s3cr3tpin"))
    expect(outcomes(await find())).toEqual(["problem target-pin-readable"])
  })
})

describe("listener", () => {
  let web: WebCertificate
  let other: WebCertificate
  beforeAll(async () => {
    const authority = await webAuthority()
    web = await authority.issue("P-256")
    other = await authority.issue("P-256")
  })
  // Certificates of the test's authority end in 47 days.
  const inDays = (days: number) => ({ now: () => Date.now() + days * 86_400_000 })

  async function publish(certificate = web): Promise<void> {
    const path = join(host.runDir, "certificates", "httpd-776562.pem")
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, certificate.certificate + certificate.chain)
  }

  function listen(server: Server): Promise<ConfigChange> {
    servers.push(server)
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => {
        resolve(at(`127.0.0.1:${(server.address() as AddressInfo).port}`))
      })
    })
  }

  function at(address: string | undefined, source: object = { S3: { uri: "s3://keys/x" } }) {
    const Snippet = {
      path: join(host.dir, "web.conf"),
      ...(address === undefined ? {} : { listener: { address } }),
    }
    return { tokens: [{ label: "web", source, target: { Snippet } }] }
  }

  function serve({ privateKey, certificate, chain }: WebCertificate, names: string[] = []) {
    const server = createTlsServer({
      key: privateKey,
      cert: certificate + chain,
      SNICallback: (name, done) => {
        names.push(name)
        done(null)
      },
    })
    return listen(server)
  }

  it("presents the published certificate, asked for by its name", async () => {
    await publish()
    const names: string[] = []
    const [finding] = await host.find(listener, await serve(web, names))
    expect(finding?.title).toMatch(/^127\.0\.0\.1:\d+ presents the token's certificate$/)
    expect(finding?.detail).toBe("46 days are left.")
    expect(names).toEqual(["localhost"])
  })

  it("presents another", async () => {
    await publish(other)
    const [finding] = await host.find(listener, await serve(web))
    expect(finding?.code).toBe("listener-other-certificate")
  })

  it("is not there", async () => {
    await publish()
    const [finding] = await host.find(listener, at("127.0.0.1:1"))
    expect([finding?.code, finding?.detail]).toEqual(["listener-unreachable", "ECONNREFUSED"])
  })

  it("has no TLS", async () => {
    await publish()
    const change = await listen(createTcpServer((socket) => socket.end("hello\n")))
    expect(outcomes(await host.find(listener, change))).toEqual([
      "problem listener-handshake-failed",
    ])
  })

  it("is configured", async () => {
    await publish()
    expect(outcomes(await host.find(listener, at(undefined)))).toEqual([
      "unknown listener-not-configured",
    ])
  })

  it("waits for the agent", async () => {
    expect(outcomes(await host.find(listener, at("127.0.0.1:1")))).toEqual([
      "problem certificate-not-published",
    ])
  })

  it.each([
    [30, "ok", "S3"],
    [40, "warning certificate-expiring", "tlskeep seal"],
    [48, "problem certificate-expired", "tlskeep seal"],
  ])("in %i days: %s", async (days, expected, advised) => {
    await publish()
    const findings = await host.find(listener, await serve(web), inDays(days))
    expect(outcomes(findings)).toEqual([expected])
    if (expected !== "ok") expect(findings[0]?.advice).toContain(advised)
  })

  it("has a certificate that ACM should have renewed", async () => {
    await publish()
    const source = {
      Acm: { certificate_arn: "arn:aws:acm:us-east-1:123456789012:certificate/0aa1" },
    }
    const findings = await host.find(listener, at(undefined, source), inDays(48))
    expect(outcomes(findings)).toContain("problem certificate-expired")
    expect(findings.at(-1)?.advice).toContain("RenewalStatus")
  })

  it("does not hold a check up that never answers", async () => {
    const silent = createTcpServer(() => {})
    await listen(silent)
    const { port } = silent.address() as AddressInfo
    const expected = new X509Certificate(web.certificate)
    const seen = await handshake({ address: `127.0.0.1:${port}` }, expected, 200)
    expect(seen).toEqual({ kind: "failed", reason: "timeout" })
  })
})

describe("agent", () => {
  const status = (change: Partial<AgentStatus> = {}): AgentStatus => ({
    version: "0.2.0",
    pid: 1,
    startedAt: 0,
    now: 0,
    configFile: join(host.dir, "tlskeep.yaml"),
    enclave: { state: "up", since: 0, reconnects: 0 },
    tokens: [token({})],
    ...change,
  })
  const token = (change: Partial<AgentStatus["tokens"][number]>) => ({
    label: "web",
    state: "serving" as const,
    source: "s3://keys/web.json",
    target: "/etc/httpd/web.conf",
    failures: 0,
    ...change,
  })
  const error = { code: "kms-access-denied", reason: "KMS refused", advice: "Ask KMS.", at: 0 }

  async function answers(body: unknown, code = 200): Promise<void> {
    await mkdir(host.runDir, { recursive: true })
    const server = createHttpServer((request, response) => {
      response.writeHead(request.url === "/status" ? code : 404)
      response.end(typeof body === "string" ? body : JSON.stringify(body))
    })
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(join(host.runDir, "agent.sock"), resolve))
  }

  it("runs and is content", async () => {
    await answers(status())
    expect(outcomes(await host.find(agent))).toEqual(["ok"])
  })

  it("does not run", async () => {
    expect(outcomes(await host.find(agent))).toEqual(["problem agent-not-running"])
  })

  it.each([
    ["hello", 200],
    ["{}", 200],
    [JSON.stringify({ error: { code: "internal", message: "no", advice: "" } }), 500],
  ])("answers %j with %i, which is not understood", async (body, code) => {
    await answers(body, code)
    expect(outcomes(await host.find(agent))).toEqual(["unknown agent-unreadable"])
  })

  it("has another configuration and no enclave", async () => {
    const enclave = { state: "down" as const, since: 0, reconnects: 0, error }
    await answers(status({ configFile: "/etc/other.yaml", enclave, tokens: [] }))
    const findings = await host.find(agent)
    expect(outcomes(findings)).toEqual([
      "warning agent-other-config",
      "problem agent-without-enclave",
    ])
    expect(findings[1]?.advice).toBe("Ask KMS.")
  })

  it("tells of each token", async () => {
    const tokens = (["pending", "serving", "degraded", "failed", "released"] as const).map(
      (state) => token({ state, label: state, ...(state === "degraded" ? { error } : {}) }),
    )
    await answers(status({ tokens }))
    const findings = await host.find(agent)
    expect(outcomes(findings)).toEqual([
      "warning token-pending",
      "warning token-degraded",
      "problem token-failed",
      "problem token-released",
    ])
    expect([findings[1]?.detail, findings[1]?.advice]).toEqual([
      "kms-access-denied: KMS refused",
      "Ask KMS.",
    ])
    expect(findings.every(({ advice }) => advice !== "")).toBe(true)
  })
})
