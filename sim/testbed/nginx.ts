/** Debian's nginx under a configuration of the testbed's own, on a port of its own. */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { BackgroundProcess } from "./background-process.js"
import { childPids } from "./child-pids.js"
import { nginxConf, serverBlock } from "./nginx-conf.js"
import { startServer } from "./server-process.js"

export interface NginxOptions {
  /** Everything goes here. */
  dir: string
  port: number
  certificateFile: string
  /** Value of `ssl_certificate_key`: a file, or `engine:pkcs11:` and a PKCS #11 URI. */
  certificateKey: string
  /** Lines for the main context, such as `ssl_engine pkcs11;`. */
  main?: readonly string[]
  /** What it is started with; nginx hands these variables down to its workers. */
  env: Readonly<Record<string, string>>
}

const WORKERS = 2
const RELOAD_TIMEOUT_MS = 20_000

export class Nginx {
  readonly #process: BackgroundProcess

  private constructor(process: BackgroundProcess) {
    this.#process = process
  }

  /** Returns when it listens. */
  static async start(options: NginxOptions): Promise<Nginx> {
    const { dir, port, env } = options
    await mkdir(dir, { recursive: true })
    const conf = join(dir, "nginx.conf")
    const { main = [] } = options
    const lines = ["daemon off;", ...main]
    await writeFile(conf, nginxConf({ dir, env, workers: WORKERS, main: lines }, serverOf(options)))
    const server = await startServer({
      name: "nginx",
      command: "/usr/sbin/nginx",
      args: ["-c", conf, "-p", dir, "-e", join(dir, "error.log")],
      env,
      logFile: join(dir, "nginx.log"),
      port,
    })
    return new Nginx(server)
  }

  get workerPids(): number[] {
    return childPids(this.#process.pid)
  }

  /** Reloads by SIGHUP; returns when none of the workers that were there accepts connections. */
  async reload(): Promise<void> {
    const before = new Set(this.workerPids)
    process.kill(this.#process.pid, "SIGHUP")
    for (const deadline = Date.now() + RELOAD_TIMEOUT_MS; Date.now() < deadline; ) {
      const pids = this.workerPids
      const fresh = pids.filter((pid) => !before.has(pid))
      if (fresh.length === WORKERS && fresh.length === pids.length) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error(`nginx did not replace its workers in ${RELOAD_TIMEOUT_MS} ms`)
  }

  stop(): Promise<void> {
    return this.#process.stop("SIGQUIT")
  }
}

function serverOf({ port, certificateFile, certificateKey }: NginxOptions): string[] {
  return serverBlock({ port, serverName: "localhost" }, [
    `ssl_certificate "${certificateFile}";`,
    `ssl_certificate_key "${certificateKey}";`,
  ])
}
