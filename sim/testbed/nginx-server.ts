/** Debian's nginx as a service of its own, whose servers include what the agent writes. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import { CodedError } from "../../shared/errors.js"
import { CHECKOUT } from "./checkout.js"
import { childPids } from "./child-pids.js"
import { NGINX_PAGE, nginxConf, serverBlock } from "./nginx-conf.js"
import { type OpensslBinding, opensslConf } from "./openssl-conf.js"
import { accepts } from "./server-process.js"
import {
  inEnvironment,
  type Placeholder,
  pidIn,
  type ServerCommands,
  stopByPidFile,
  type VirtualHost,
  type WebServer,
} from "./web-server.js"

export interface NginxServerOptions {
  /** Everything goes here. */
  dir: string
  port: number
  binding: OpensslBinding
  /** PKCS #11 module that OpenSSL is to load; the checkout's unless given. */
  modulePath?: string
  hosts: readonly VirtualHost[]
  /** Written into the hosts' files, so that nginx can be started before the agent. */
  placeholder?: Placeholder
  endpointFile: string
}

const WORKERS = 2
const START_TIMEOUT_MS = 30_000

export class NginxServer implements WebServer {
  readonly service = "nginx"
  readonly page = NGINX_PAGE
  readonly #options: NginxServerOptions

  private constructor(options: NginxServerOptions) {
    this.#options = options
  }

  /** Writes the configuration; starts nothing. */
  static async prepare(options: NginxServerOptions): Promise<NginxServer> {
    const nginx = new NginxServer(options)
    const { dir, port, binding, hosts, placeholder, modulePath = CHECKOUT.module } = options
    await mkdir(nginx.#extraDir, { recursive: true })
    await writeFile(join(dir, "openssl.cnf"), opensslConf(binding, modulePath))
    const servers = hosts.flatMap(({ serverName, path }) =>
      serverBlock({ port, serverName }, [`include "${path}";`]),
    )
    // What nginx does not do by itself: it uses the engine without having initialised it.
    const main = binding === "engine" ? ["ssl_engine pkcs11;"] : []
    const conf = nginxConf({ dir, workers: WORKERS, env: nginx.#env, main }, [
      ...servers,
      `include ${nginx.#extraDir}/*.conf;`,
    ])
    await writeFile(nginx.#conf, conf)
    if (placeholder !== undefined) {
      const { certificateFile, keyFile } = placeholder
      const lines = [`ssl_certificate "${certificateFile}";`, `ssl_certificate_key "${keyFile}";`]
      for (const { path } of hosts) await writeFile(path, `${lines.join("\n")}\n`)
    }
    return nginx
  }

  get port(): number {
    return this.#options.port
  }

  get url(): string {
    return `https://localhost:${this.port}/`
  }

  get commands(): ServerCommands {
    const { dir } = this.#options
    const args = ["-c", this.#conf, "-p", dir, "-e", this.#errorLog]
    const command = (...more: string[]) =>
      inEnvironment(this.#env, "/usr/sbin/nginx", ...args, ...more)
    // nginx alone does not start on a signal to reload, as Apache does.
    const either = 'if kill -0 "$(cat "$0")" 2>&-; then exec "$@" -s reload; else exec "$@"; fi'
    return {
      test: command("-t"),
      reload: ["sh", "-c", either, this.#pidFile, ...command()],
      start: command(),
    }
  }

  async start(): Promise<void> {
    const [command = "", ...args] = this.commands.start
    await execa(command, args, { stdin: "ignore" })
    await this.listening()
  }

  async listening(): Promise<void> {
    for (const deadline = Date.now() + START_TIMEOUT_MS; ; ) {
      if ((await accepts(this.port)) && (await this.pid()) !== undefined) return
      if (Date.now() > deadline) {
        throw new CodedError("nginx-failed", `nginx does not listen:\n${await this.#errors()}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  stop(): Promise<void> {
    return stopByPidFile(this.#pidFile)
  }

  pid(): Promise<number | undefined> {
    return pidIn(this.#pidFile)
  }

  async pids(): Promise<number[]> {
    const pid = await this.pid()
    return pid === undefined ? [] : [pid, ...childPids(pid)]
  }

  /** nginx says so when it begins to start the workers of a configuration. */
  async generations(): Promise<number> {
    return (await this.#errors()).split("start worker processes").length - 1
  }

  /** Ends one worker gracefully; nginx starts another in its place, by the configuration it has read. */
  async recycleWorker(): Promise<void> {
    const [, worker] = await this.pids()
    if (worker !== undefined) process.kill(worker, "SIGQUIT")
  }

  async breakConfiguration(): Promise<void> {
    await writeFile(join(this.#extraDir, "broken.conf"), "no_such_directive on;\n")
  }

  async mendConfiguration(): Promise<void> {
    await rm(join(this.#extraDir, "broken.conf"), { force: true })
  }

  get #conf(): string {
    return join(this.#options.dir, "nginx.conf")
  }

  get #pidFile(): string {
    return join(this.#options.dir, "nginx.pid")
  }

  get #errorLog(): string {
    return join(this.#options.dir, "error.log")
  }

  get #extraDir(): string {
    return join(this.#options.dir, "extra")
  }

  get #env(): Record<string, string> {
    const { dir, endpointFile, binding } = this.#options
    return {
      PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      OPENSSL_CONF: join(dir, "openssl.cnf"),
      TLSKEEP_ENDPOINT_FILE: endpointFile,
      TLSKEEP_LOG: join(dir, "pkcs11.log"),
      ...(binding === "provider" ? { OPENSSL_ENGINES: dir } : {}),
    }
  }

  #errors(): Promise<string> {
    return readFile(this.#errorLog, "utf8").catch(() => "")
  }
}
