/**
 * A web server with any number of tokens, its agent and their enclave, and what may happen to them:
 * renewals, and the end of a process.
 */
import { copyFile, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import pLimit from "p-limit"
import { CodedError } from "../../shared/errors.js"
import { liveEnclaves } from "../nitro/state.js"
import { simPaths } from "../paths.js"
import { Apache, type Mpm } from "./apache.js"
import type { BackgroundProcess } from "./background-process.js"
import { CHECKOUT } from "./checkout.js"
import { childPids } from "./child-pids.js"
import { freePort } from "./free-port.js"
import { NginxServer } from "./nginx-server.js"
import type { OpensslBinding } from "./openssl-conf.js"
import { presented } from "./presented.js"
import type { CommandResult, Testbed } from "./testbed.js"
import {
  fingerprintOf,
  type KeyType,
  WebAuthority,
  type WebCertificate,
} from "./web-certificates.js"
import type { Placeholder, Service, TargetKind, VirtualHost, WebServer } from "./web-server.js"

export interface SiteOptions {
  /** Distinct in a testbed: names the enclave and the folders. */
  name: string
  service: Service
  target: TargetKind
  binding?: OpensslBinding
  mpm?: Mpm
  /** Apache's, for the whole server. */
  directives?: readonly string[]
  /** One is served as `localhost`; of several each under its label, below `.test`. */
  tokens: readonly { label: string; keyType: KeyType }[]
  /** The server runs, with placeholders, before the agent is started; else the agent starts it. */
  running?: boolean
  /** Merged over the agent's configuration. */
  agent?: {
    enclave?: Record<string, unknown>
    options?: Record<string, unknown> | ((server: WebServer) => Record<string, unknown>)
    token?: Record<string, unknown>
    target?: Record<string, unknown>
    /** Sections of the file besides these. */
    sections?: Record<string, unknown>
  }
  /** More than the agent's usual environment. */
  agentEnv?: Record<string, string>
}

/** A token and what is served with it. */
export interface SiteToken {
  label: string
  keyType: KeyType
  serverName: string
  /** What the agent writes. */
  targetFile: string
  keyArn: string
  /** Where the key object is. */
  uri: string
  /** What lies there now. */
  web: WebCertificate
}

const PUBLISH_TIMEOUT_MS = 60_000
/** Requests to the simulated AWS at the same time. */
const PARALLEL_SEALS = 8

export class Site {
  readonly testbed: Testbed
  readonly name: string
  readonly server: WebServer
  readonly tokens: readonly SiteToken[]
  readonly runDir: string
  readonly configFile: string
  readonly #agentEnv: Record<string, string>
  #agent: BackgroundProcess

  private constructor(parts: {
    testbed: Testbed
    name: string
    server: WebServer
    tokens: readonly SiteToken[]
    runDir: string
    configFile: string
    agentEnv: Record<string, string>
  }) {
    this.testbed = parts.testbed
    this.name = parts.name
    this.server = parts.server
    this.tokens = parts.tokens
    this.runDir = parts.runDir
    this.configFile = parts.configFile
    this.#agentEnv = parts.agentEnv
    this.#agent = this.#startAgent()
  }

  /** Returns when every token's certificate is presented. */
  static async create(testbed: Testbed, options: SiteOptions): Promise<Site> {
    const site = await Site.begin(testbed, options)
    await site.presentsAll()
    return site
  }

  /** Returns when the agent has been started. */
  static async begin(testbed: Testbed, options: SiteOptions): Promise<Site> {
    const { name, service, agent = {}, agentEnv = {}, running = false } = options
    const dir = join(testbed.dir, name)
    const runDir = join(dir, "run")
    await mkdir(dir)
    const tokens = await makeTokens(testbed, dir, options)
    // Whoever maps it is a process of this site: the agent tells its server's workers by that.
    const modulePath = join(dir, "libtlskeep-pkcs11.so")
    await copyFile(CHECKOUT.module, modulePath)
    const endpointFile = join(runDir, "endpoint")
    const server = await makeServer({ dir, modulePath, endpointFile, tokens }, options)
    testbed.stopWithAll(server)
    const configFile = await testbed.writeAgentConfig(name, {
      ...{ enclaveName: name, runDir, service, commands: server.commands },
      tokens: tokens.map(({ label, uri, targetFile, serverName }) => ({
        ...{ label, uri, target: options.target, path: targetFile, settings: agent.token },
        targetSettings: {
          listener: { address: `127.0.0.1:${server.port}`, server_name: serverName },
          ...agent.target,
        },
      })),
      enclave: agent.enclave,
      sections: agent.sections,
      options: {
        module_path: modulePath,
        key_syntax: options.binding ?? "engine",
        ...(typeof agent.options === "function" ? agent.options(server) : agent.options),
      },
    })
    if (running) await server.start()
    return new Site({ testbed, name, server, tokens, runDir, configFile, agentEnv })
  }

  /** The agent that was started last. */
  get agent(): BackgroundProcess {
    return this.#agent
  }

  get serverNames(): string[] {
    return this.tokens.map(({ serverName }) => serverName)
  }

  /** The only token, or the first. */
  get token(): SiteToken {
    const [token] = this.tokens
    if (token === undefined) throw new RangeError("the site has no tokens")
    return token
  }

  /** Seals a certificate with a new key into the place of a token's; returns its fingerprint. */
  async renew(token: SiteToken = this.token, keyType: KeyType = token.keyType): Promise<string> {
    const web = await this.testbed.issue(keyType, token.serverName)
    const name = objectName(this.name, token.label)
    await this.testbed.store(web, token.keyArn, name)
    token.keyType = keyType
    token.web = web
    return fingerprintOf(web)
  }

  /** Waits until every token is presented: one after the other, so as not to be a load itself. */
  async presentsAll(timeoutMs?: number): Promise<void> {
    for (const token of this.tokens) await this.presents(token, timeoutMs)
  }

  /**
   * Waits until what was sealed last is what is presented.
   *
   * @throws CodedError `not-presented` after `timeoutMs`, with the agent's last lines
   */
  async presents(
    token: SiteToken = this.token,
    timeoutMs: number = PUBLISH_TIMEOUT_MS,
  ): Promise<void> {
    const wanted = fingerprintOf(token.web)
    for (const deadline = Date.now() + timeoutMs; ; ) {
      if ((await this.fingerprint(token)) === wanted) return
      if (Date.now() > deadline || !this.agent.running) {
        const lines = this.agent.lines.slice(-15).join("\n")
        throw new CodedError("not-presented", `${token.label} is not presented:\n${lines}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  /** Of the certificate that is presented; undefined if none is. */
  fingerprint({ serverName }: SiteToken = this.token): Promise<string | undefined> {
    return presented(this.server.port, serverName)
  }

  /** Starts another agent once the last has ended. */
  restartAgent(): BackgroundProcess {
    if (this.agent.running) throw new CodedError("agent-running", "the last agent runs still")
    this.#agent = this.#startAgent()
    return this.#agent
  }

  /** SIGKILL; returns when it is gone. */
  killAgent(): Promise<void> {
    return this.agent.stop("SIGKILL")
  }

  /** Pids of the processes that stand for the site's enclaves on the host; one, but while it is replaced. */
  get vmmPids(): number[] {
    // The agent's other name is for one that it brings up beside the first.
    const names = [this.name, `${this.name}-2`]
    return liveEnclaves(simPaths(this.testbed.info.dir))
      .filter(({ enclaveName }) => names.includes(enclaveName))
      .map((enclave) => enclave.process.pid)
  }

  get vmmPid(): number | undefined {
    return this.vmmPids[0]
  }

  /** Pids of the enclaves' own processes. */
  get enclavePids(): number[] {
    return this.vmmPids.flatMap(childPids)
  }

  /** Ends the enclave by SIGKILL, unseen by nitro-cli. */
  killEnclave(): void {
    for (const pid of this.vmmPids) process.kill(pid, "SIGKILL")
  }

  /** Runs a command of the CLI for this site's configuration. */
  tlskeep(...args: string[]): Promise<CommandResult> {
    return this.testbed.tlskeep([...args, "--config", this.configFile])
  }

  /** Stops agent, server and enclave. */
  async stop(): Promise<void> {
    await this.agent.stop()
    await this.server.stop()
    this.killEnclave()
  }

  #startAgent(): BackgroundProcess {
    return this.testbed.startAgent(this.configFile, this.#agentEnv)
  }
}

function objectName(site: string, label: string): string {
  return `${site}/${label}`
}

async function makeTokens(
  testbed: Testbed,
  dir: string,
  { name, tokens }: SiteOptions,
): Promise<SiteToken[]> {
  const keyArn = await testbed.kmsKey()
  const limit = pLimit(PARALLEL_SEALS)
  const make = async ({ label, keyType }: { label: string; keyType: KeyType }) => {
    const serverName = tokens.length === 1 ? "localhost" : `${label}.test`
    const web = await testbed.issue(keyType, serverName)
    const uri = await testbed.store(web, keyArn, objectName(name, label))
    return { label, keyType, serverName, targetFile: join(dir, `${label}.conf`), keyArn, uri, web }
  }
  return Promise.all(tokens.map((token) => limit(() => make(token))))
}

async function makeServer(
  place: {
    dir: string
    modulePath: string
    endpointFile: string
    tokens: readonly SiteToken[]
  },
  options: SiteOptions,
): Promise<WebServer> {
  const { dir, modulePath, endpointFile, tokens } = place
  const { service, target, binding = "engine", mpm = "event", running = false } = options
  const hosts: VirtualHost[] = tokens.map(({ serverName, targetFile }) => ({
    ...{ serverName, target, path: targetFile },
  }))
  const port = await freePort()
  const common = { dir: join(dir, service), port, binding, modulePath, endpointFile }
  // A virtual host that is changed in place has to name something before.
  const needed = running || (service === "httpd" && target === "Conf")
  const placeholder = needed ? { placeholder: await makePlaceholder(dir) } : {}
  return service === "httpd"
    ? Apache.prepare({
        ...{ ...common, ...placeholder, hosts, mpm },
        directives: options.directives ?? [],
      })
    : NginxServer.prepare({ ...common, hosts, ...placeholder })
}

/** A certificate that no client of the testbed trusts. */
async function makePlaceholder(dir: string): Promise<Placeholder> {
  const web = await (await WebAuthority.create()).issue("P-256", "placeholder.test")
  const [certificateFile, keyFile] = ["certificate", "key"].map((what) =>
    join(dir, `placeholder-${what}.pem`),
  ) as [string, string]
  await writeFile(certificateFile, web.certificate)
  await writeFile(keyFile, web.privateKey, { mode: 0o600 })
  return { certificateFile, keyFile }
}
