/** One token served by one Apache: sealed key, agent, enclave, web server, from nothing to a page. */
import { join } from "node:path"
import { execa } from "execa"
import { z } from "zod"
import { CodedError } from "../../shared/errors.js"
import type { Apache, Mpm } from "./apache.js"
import type { BackgroundProcess } from "./background-process.js"
import { enclaveOfStatus } from "./enclave-of-status.js"
import { handshake } from "./handshake.js"
import type { OpensslBinding } from "./openssl-conf.js"
import type { AgentSetup, Testbed } from "./testbed.js"
import type { KeyType, WebCertificate } from "./web-certificates.js"

export interface DeploymentOptions {
  /** Distinct in a testbed: names the token, the enclave and the folders. */
  name: string
  keyType: KeyType
  binding: OpensslBinding
  mpm?: Mpm
  /** Further ones of Apache's. */
  directives?: readonly string[]
  /** Added to Apache's environment. */
  env?: Readonly<Record<string, string>>
  agent?: Pick<AgentSetup, "enclave" | "options" | "token">
}

const statusSchema = z.looseObject({
  pcrs: z.record(z.string(), z.string()),
  bootedAt: z.number(),
  tokens: z.array(
    z.looseObject({ label: z.string(), signatures: z.record(z.string(), z.number()) }),
  ),
})

export type Status = z.output<typeof statusSchema>

export class Deployment {
  readonly testbed: Testbed
  readonly label: string
  readonly web: WebCertificate
  readonly apache: Apache
  readonly agent: BackgroundProcess
  readonly configFile: string
  readonly runDir: string

  private constructor(parts: {
    testbed: Testbed
    label: string
    web: WebCertificate
    apache: Apache
    agent: BackgroundProcess
    configFile: string
    runDir: string
  }) {
    this.testbed = parts.testbed
    this.label = parts.label
    this.web = parts.web
    this.apache = parts.apache
    this.agent = parts.agent
    this.configFile = parts.configFile
    this.runDir = parts.runDir
  }

  /** Returns when the page can be fetched. */
  static async create(testbed: Testbed, options: DeploymentOptions): Promise<Deployment> {
    const { name, keyType, binding, mpm = "event", directives = [], env = {} } = options
    const runDir = join(testbed.dir, `${name}-run`)
    const web = await testbed.issue(keyType)
    const uri = await testbed.seal(web, await testbed.kmsKey(), name)
    const apache = await testbed.apache(`${name}-httpd`, { binding, mpm, directives, env, runDir })
    const configFile = await testbed.agentConfig(name, {
      label: name,
      uri,
      apache,
      ...options.agent,
      options: { run_dir: runDir, ...options.agent?.options },
    })
    const agent = testbed.startAgent(configFile)
    const deployed = { testbed, label: name, web, apache, agent, configFile, runDir }
    const deployment = new Deployment(deployed)
    await deployment.waitForEvent("web server reloaded")
    await apache.listening()
    return deployment
  }

  /** Waits for a log message of the agent. */
  waitForEvent(message: string, from = 0): Promise<string> {
    return this.agent.waitForLine((line) => line.includes(`"msg":"${message}"`), { from })
  }

  get endpointFile(): string {
    return join(this.runDir, "endpoint")
  }

  get port(): number {
    return Number(new URL(this.apache.url).port)
  }

  /** Fetches the page with curl, which verifies the certificate. */
  async fetch(): Promise<string> {
    const { stdout } = await execa("curl", [
      "-sS",
      "--cacert",
      this.testbed.caFile,
      this.apache.url,
    ])
    return stdout
  }

  /**
   * One full TLS handshake, verified, without resumption.
   *
   * @throws the socket's error
   */
  async handshake(timeoutMs = 20_000): Promise<void> {
    await handshake({ port: this.port, ca: this.testbed.authority.rootPem, timeoutMs })
  }

  /**
   * Full handshakes and requests by `ab`, 16 at a time.
   *
   * @throws CodedError `load-failed` unless every one of them got the page; what ab calls a failed
   *   request leaves failed handshakes out.
   */
  async load(requests: number, protocol: "TLS1.2" | "TLS1.3" = "TLS1.3"): Promise<void> {
    const { stdout } = await execa("ab", [
      ...["-q", "-n", String(requests), "-c", "16", "-f", protocol],
      this.apache.url,
    ])
    const number = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+([0-9]+)`, "m").exec(stdout)?.[1] ?? Number.NaN)
    const good =
      number("Complete requests") === requests &&
      number("Failed requests") === 0 &&
      number("HTML transferred") === requests * Buffer.byteLength(this.apache.page) &&
      stdout.includes(`SSL/TLS Protocol:       ${protocol.replace("TLS", "TLSv")},`)
    if (!good) throw new CodedError("load-failed", stdout)
  }

  /** What `tlskeep status` says. */
  async status(): Promise<Status> {
    const { stdout, stderr } = await this.testbed.tlskeep([
      ...["status", "--json", "--config", this.configFile],
    ])
    if (stdout === "") throw new CodedError("status-failed", stderr)
    return statusSchema.parse(enclaveOfStatus(stdout))
  }

  /** Signatures that the enclave counts for the token. */
  async signatures(): Promise<number> {
    const { tokens } = await this.status()
    const token = tokens.find(({ label }) => label === this.label)
    return Object.values(token?.signatures ?? {}).reduce((sum, count) => sum + count, 0)
  }

  async terminateEnclave(): Promise<void> {
    await this.testbed.nitroCli("terminate-enclave", "--enclave-name", this.label)
  }

  /** Stops agent, Apache and enclave. */
  async stop(): Promise<void> {
    await this.agent.stop()
    await this.apache.stop()
    await this.terminateEnclave()
  }
}
