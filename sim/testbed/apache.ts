/** Debian's Apache httpd under a configuration of the testbed's own, on a port of its own. */
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import { CodedError } from "../../shared/errors.js"
import { CHECKOUT } from "./checkout.js"
import { childPids } from "./child-pids.js"
import { type OpensslBinding, opensslConf } from "./openssl-conf.js"
import { accepts, asWwwData, ownByWwwData } from "./server-process.js"

export type Mpm = "event" | "worker" | "prefork"

export interface ApacheOptions {
  /** Everything goes here. */
  dir: string
  port: number
  binding: OpensslBinding
  mpm?: Mpm
  /** PKCS #11 module that OpenSSL is to load; the token module itself unless given. */
  modulePath?: string
  /** Starts Apache as www-data, as a service manager may; else it is root and drops to www-data. */
  unprivileged?: boolean
  /** Added to the environment that Apache is started with. */
  env?: Readonly<Record<string, string>>
  /** The agent's snippet, included by the virtual host. */
  snippet: string
  endpointFile: string
}

const START_TIMEOUT_MS = 30_000
const PAGE = "served with a key that this host never saw\n"

export class Apache {
  readonly #options: ApacheOptions

  private constructor(options: ApacheOptions) {
    this.#options = options
  }

  /** Writes the configuration; starts nothing. */
  static async prepare(options: ApacheOptions): Promise<Apache> {
    const apache = new Apache(options)
    const { dir } = options
    await mkdir(join(dir, "htdocs"), { recursive: true })
    await writeFile(join(dir, "htdocs", "index.html"), PAGE)
    await writeFile(
      apache.opensslConf,
      opensslConf(options.binding, options.modulePath ?? CHECKOUT.module),
    )
    await writeFile(apache.conf, httpdConf(options))
    if (options.unprivileged) await ownByWwwData(dir)
    return apache
  }

  get page(): string {
    return PAGE
  }

  get conf(): string {
    return join(this.#options.dir, "httpd.conf")
  }

  get opensslConf(): string {
    return join(this.#options.dir, "openssl.cnf")
  }

  get url(): string {
    return `https://localhost:${this.#options.port}/`
  }

  /** What the virtual host includes. */
  get snippet(): string {
    return this.#options.snippet
  }

  get errorLog(): string {
    return join(this.#options.dir, "error.log")
  }

  /** What Apache is started with. */
  get env(): Record<string, string> {
    return {
      PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      OPENSSL_CONF: this.opensslConf,
      TLSKEEP_ENDPOINT_FILE: this.#options.endpointFile,
      TLSKEEP_LOG: join(this.#options.dir, "pkcs11.log"),
      ...this.#options.env,
      // mod_ssl prefers the engine wherever OpenSSL finds one: here it finds none.
      ...(this.#options.binding === "provider" ? { OPENSSL_ENGINES: this.#options.dir } : {}),
    }
  }

  /** Starts Apache, or reloads it gracefully if it runs: what the agent is given to run. */
  get reloadCommand(): string[] {
    return this.#command("-k", "graceful")
  }

  /** Tests the configuration. */
  get testCommand(): string[] {
    return this.#command("-t")
  }

  get startCommand(): string[] {
    return this.#command("-k", "start")
  }

  #command(...args: readonly string[]): string[] {
    const env = Object.entries(this.env).map(([name, value]) => `${name}=${value}`)
    return ["env", "-i", ...env, "/usr/sbin/apache2", "-f", this.conf, ...args]
  }

  async start(): Promise<void> {
    await this.#control("start")
    await this.listening()
  }

  /** Waits until the port accepts connections and the pid is written, which comes later. */
  async listening(): Promise<void> {
    for (const deadline = Date.now() + START_TIMEOUT_MS; ; ) {
      if ((await accepts(this.#options.port)) && (await this.pid()) !== undefined) return
      if (Date.now() > deadline) {
        throw new CodedError("apache-failed", `Apache does not listen:\n${await this.errors()}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  graceful(): Promise<void> {
    return this.#control("graceful")
  }

  /** Stops it and waits until its processes are gone. Fine if it does not run. */
  async stop(): Promise<void> {
    const pid = await this.pid()
    if (pid === undefined) return
    // Not `-k stop`, which wants a configuration that is still whole.
    process.kill(pid, "SIGTERM")
    for (let tries = 0; tries < 200 && isAlive(pid); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** Process id of Apache's parent, undefined if it does not run. */
  async pid(): Promise<number | undefined> {
    const text = await readFile(join(this.#options.dir, "httpd.pid"), "utf8").catch(() => "")
    const pid = Number.parseInt(text, 10)
    return Number.isInteger(pid) && isAlive(pid) ? pid : undefined
  }

  /** Process ids of parent and children. */
  async pids(): Promise<number[]> {
    const pid = await this.pid()
    if (pid === undefined) return []
    return [pid, ...childPids(pid)]
  }

  async errors(): Promise<string> {
    return readFile(this.errorLog, "utf8").catch(() => "")
  }

  async #control(action: "start" | "graceful"): Promise<void> {
    const args = ["-f", this.conf, "-k", action]
    const [command, commandArgs] = this.#options.unprivileged
      ? asWwwData("/usr/sbin/apache2", args)
      : ["/usr/sbin/apache2", args]
    await execa(command, commandArgs, { env: this.env, extendEnv: false, stdin: "ignore" })
  }
}

function httpdConf({ dir, port, binding, mpm = "event", snippet }: ApacheOptions): string {
  const modules = [`mpm_${mpm}`, "authz_core", "dir", "mime", "socache_shmcb", "ssl", "status"]
  const lines = [
    `ServerRoot "${dir}"`,
    `PidFile "${dir}/httpd.pid"`,
    `ErrorLog "${dir}/error.log"`,
    `DefaultRuntimeDir "${dir}"`,
    ...modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
    "User www-data",
    "Group www-data",
    "ServerName localhost",
    "LogLevel info",
    `TypesConfig /dev/null`,
    "KeepAlive Off",
    "SSLSessionCache none",
    "SSLSessionTickets off",
    ...(binding === "engine" ? ["SSLCryptoDevice pkcs11"] : []),
    `Listen 127.0.0.1:${port}`,
    `<VirtualHost 127.0.0.1:${port}>`,
    `  DocumentRoot "${dir}/htdocs"`,
    "  SSLEngine on",
    "  SSLProtocol -all +TLSv1.2 +TLSv1.3",
    `  Include "${snippet}"`,
    "</VirtualHost>",
    `<Directory "${dir}/htdocs">`,
    "  Require all granted",
    "</Directory>",
    "",
  ]
  return lines.join("\n")
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
