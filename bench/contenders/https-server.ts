/** Apache with one key, wherever that key is: what all contenders of the handshakes have in common. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { CodedError } from "../../shared/errors.js"
import { Apache } from "../../sim/testbed/apache.js"
import { childPids } from "../../sim/testbed/child-pids.js"
import { freePort } from "../../sim/testbed/free-port.js"
import type { KeyBinding } from "../../sim/testbed/openssl-conf.js"
import type { WebServer } from "../../sim/testbed/web-server.js"
import { type BenchHost, SERVER_DIRECTIVES } from "../host/bench-host.js"
import type { ContenderName, ServedKeyType } from "../report/schema.js"
import type { HttpsContender } from "./contender.js"

/** What an Apache of our own is told, besides what all are. */
export interface ServerSetup {
  binding: KeyBinding
  /** Snippet that the virtual host includes. */
  snippet: { path: string } | { certificateFile: string; key: string }
  modulePath?: string
  env?: Readonly<Record<string, string>>
  endpointFile?: string
}

export abstract class HttpsServer implements HttpsContender {
  abstract readonly name: ContenderName
  readonly keyType: ServedKeyType
  protected readonly host: BenchHost
  #server: WebServer | undefined

  constructor(host: BenchHost, keyType: ServedKeyType) {
    this.host = host
    this.keyType = keyType
  }

  abstract prepare(): Promise<void>

  async start(): Promise<void> {
    if ((await this.server.pid()) === undefined) await this.server.start()
  }

  async stop(): Promise<void> {
    await this.#server?.stop()
  }

  async pids(): Promise<number[]> {
    const pid = await this.server.pid()
    if (pid === undefined) throw new CodedError("not-running", `${this.name}: Apache is gone`)
    return [pid]
  }

  async workers(): Promise<number[]> {
    return (await this.pids()).slice(0, 1).flatMap(childPids)
  }

  get port(): number {
    return this.server.port
  }

  get page(): string {
    return this.server.page
  }

  protected get server(): WebServer {
    if (this.#server === undefined) throw new CodedError("not-prepared", `${this.name}: no Apache`)
    return this.#server
  }

  /** Uses a server that somebody else has made. */
  protected take(server: WebServer): void {
    this.#server = server
  }

  /** Below the host's, with the configuration of an Apache of our own. */
  protected get folder(): string {
    return `${this.name}-${this.keyType.toLowerCase()}`
  }

  /** Writes the configuration of an Apache of our own. */
  protected async makeServer(setup: ServerSetup): Promise<void> {
    const dir = join(this.host.dir, this.folder)
    const { snippet, endpointFile = join(dir, "no-endpoint"), ...options } = setup
    const path = "path" in snippet ? snippet.path : `${dir}.conf`
    if (!("path" in snippet)) {
      const { certificateFile, key } = snippet
      const lines = [
        `SSLCertificateFile "${certificateFile}"`,
        `SSLCertificateKeyFile "${key}"`,
        "",
      ]
      await writeFile(path, lines.join("\n"))
    }
    const apache = await Apache.prepare({
      ...{ dir, port: await freePort(), directives: SERVER_DIRECTIVES, snippet: path },
      ...{ ...options, endpointFile },
    })
    this.host.testbed.stopWithAll(apache)
    this.take(apache)
  }
}
