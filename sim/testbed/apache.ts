/** Debian's Apache httpd under a configuration of the testbed's own, on a port of its own. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import { CodedError } from "../../shared/errors.js"
import { CHECKOUT } from "./checkout.js"
import { childPids } from "./child-pids.js"
import { type KeyBinding, opensslConf } from "./openssl-conf.js"
import { accepts, asWwwData, ownByWwwData } from "./server-process.js"
import {
  inEnvironment,
  type Placeholder,
  pidIn,
  type ServerCommands,
  stopByPidFile,
  type VirtualHost,
  type WebServer,
} from "./web-server.js"

export type Mpm = "event" | "worker" | "prefork"

export interface ApacheOptions {
  /** Everything goes here. */
  dir: string
  port: number
  binding: KeyBinding
  mpm?: Mpm
  /** PKCS #11 module that OpenSSL is to load; the token module itself unless given. */
  modulePath?: string
  /** Starts Apache as www-data, as a service manager may; else it is root and drops to www-data. */
  unprivileged?: boolean
  /** Directives for the whole server. */
  directives?: readonly string[]
  /** Added to the environment that Apache is started with. */
  env?: Readonly<Record<string, string>>
  /** The agent's snippet, included by the one virtual host that there is then, `localhost`. */
  snippet?: string
  /** Else these. Those of target `Conf` lie in the agent's file as a whole. */
  hosts?: readonly VirtualHost[]
  /** Written into the hosts' files; needed for target `Conf`, which the agent changes in place. */
  placeholder?: Placeholder
  endpointFile: string
}

const START_TIMEOUT_MS = 30_000
const PAGE = "served with a key that this host never saw\n"

export class Apache implements WebServer {
  readonly service = "httpd"
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
    await mkdir(apache.#extraDir, { recursive: true })
    await writeFile(apache.conf, httpdConf(options, apache.#hosts))
    const { placeholder } = options
    if (placeholder !== undefined) {
      for (const host of apache.#hosts) {
        await writeFile(host.path, initialFile(host, options, placeholder))
      }
    }
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

  get port(): number {
    return this.#options.port
  }

  get url(): string {
    return `https://localhost:${this.port}/`
  }

  /** What the virtual host includes; the first one of several. */
  get snippet(): string {
    return this.#hosts[0]?.path ?? ""
  }

  get #hosts(): readonly VirtualHost[] {
    const { hosts, snippet = "" } = this.#options
    return hosts ?? [{ serverName: "localhost", target: "Snippet", path: snippet }]
  }

  /** Whatever lies here is included. */
  get #extraDir(): string {
    return join(this.#options.dir, "extra")
  }

  get #pidFile(): string {
    return join(this.#options.dir, "httpd.pid")
  }

  /** The token module's own. */
  get moduleLog(): string {
    return join(this.#options.dir, "pkcs11.log")
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
      TLSKEEP_LOG: this.moduleLog,
      ...this.#options.env,
      // mod_ssl prefers the engine wherever OpenSSL finds one: here it finds none.
      ...(this.#options.binding === "engine" ? {} : { OPENSSL_ENGINES: this.#options.dir }),
    }
  }

  /** Starts Apache, or reloads it gracefully if it runs: what the agent is given to run. */
  get reloadCommand(): string[] {
    return this.commands.reload
  }

  get commands(): ServerCommands {
    const command = (...args: string[]) =>
      inEnvironment(this.env, "/usr/sbin/apache2", "-f", this.conf, ...args)
    return {
      test: command("-t"),
      reload: command("-k", "graceful"),
      start: command("-k", "start"),
    }
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
  stop(): Promise<void> {
    return stopByPidFile(this.#pidFile)
  }

  /** Process id of Apache's parent, undefined if it does not run. */
  pid(): Promise<number | undefined> {
    return pidIn(this.#pidFile)
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

  async generations(): Promise<number> {
    return (await this.errors()).split("resuming normal operations").length - 1
  }

  async breakConfiguration(): Promise<void> {
    await writeFile(join(this.#extraDir, "broken.conf"), "NoSuchDirective on\n")
  }

  async mendConfiguration(): Promise<void> {
    await rm(join(this.#extraDir, "broken.conf"), { force: true })
  }

  async #control(action: "start" | "graceful"): Promise<void> {
    const args = ["-f", this.conf, "-k", action]
    const [command, commandArgs] = this.#options.unprivileged
      ? asWwwData("/usr/sbin/apache2", args)
      : ["/usr/sbin/apache2", args]
    await execa(command, commandArgs, { env: this.env, extendEnv: false, stdin: "ignore" })
  }
}

function httpdConf(options: ApacheOptions, hosts: readonly VirtualHost[]): string {
  const { dir, port, binding, mpm = "event", directives = [] } = options
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
    ...directives,
    `Listen 127.0.0.1:${port}`,
    ...hosts.flatMap((host) =>
      host.target === "Conf"
        ? [`Include "${host.path}"`]
        : virtualHost(host, options, [`Include "${host.path}"`]),
    ),
    `<Directory "${dir}/htdocs">`,
    "  Require all granted",
    "</Directory>",
    `IncludeOptional "${dir}/extra/*.conf"`,
    "",
  ]
  return lines.join("\n")
}

function virtualHost(
  { serverName }: VirtualHost,
  { dir, port }: ApacheOptions,
  certificateLines: readonly string[],
): string[] {
  return [
    `<VirtualHost 127.0.0.1:${port}>`,
    `  ServerName ${serverName}`,
    `  DocumentRoot "${dir}/htdocs"`,
    "  SSLEngine on",
    "  SSLProtocol -all +TLSv1.2 +TLSv1.3",
    ...certificateLines.map((line) => `  ${line}`),
    "</VirtualHost>",
  ]
}

/** What an operator may have before the agent comes: a snippet, or a virtual host with remarks of his own. */
function initialFile(host: VirtualHost, options: ApacheOptions, placeholder: Placeholder): string {
  const lines = [
    `SSLCertificateFile      "${placeholder.certificateFile}"`,
    `SSLCertificateKeyFile   "${placeholder.keyFile}"`,
  ]
  const text =
    host.target === "Snippet"
      ? lines
      : [
          `# The site ${host.serverName}, kept by hand.`,
          ...virtualHost(host, options, ["# Changed by the agent:", ...lines]),
        ]
  return [...text, ""].join("\n")
}
