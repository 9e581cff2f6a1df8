/** A SoftHSM2 token with the keys that the others have too, and p11-kit's server before it. */

import { existsSync } from "node:fs"
import { chmod, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import { CodedError } from "../../shared/errors.js"
import { SERVER_GROUP } from "../../sim/testbed/agent-config.js"
import { BackgroundProcess } from "../../sim/testbed/background-process.js"

export const SOFTHSM_MODULE = "/usr/lib/softhsm/libsofthsm2.so"
export const P11_KIT_CLIENT = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
const P11_KIT_SERVER = "/usr/libexec/p11-kit/p11-kit-server"

const TOKEN = "bench"
const START_TIMEOUT_MS = 10_000

export class SofthsmToken {
  readonly label = TOKEN
  readonly pinFile: string
  readonly #dir: string
  readonly #pin: string
  #objects = 0

  private constructor(dir: string, pin: string) {
    this.#dir = dir
    this.#pin = pin
    this.pinFile = join(dir, "pin")
  }

  /** Makes an empty token below `dir`. */
  static async create(dir: string): Promise<SofthsmToken> {
    await mkdir(join(dir, "tokens"), { recursive: true })
    const token = new SofthsmToken(dir, "bench-1234")
    await writeFile(
      join(dir, "softhsm2.conf"),
      [
        `directories.tokendir = ${dir}/tokens`,
        "objectstore.backend = file",
        "log.level = ERROR",
        "",
      ].join("\n"),
    )
    await writeFile(token.pinFile, token.#pin)
    const pins = ["--pin", token.#pin, "--so-pin", token.#pin]
    await token.#util("--init-token", "--free", "--label", TOKEN, ...pins)
    return token
  }

  /** What a process needs to find the token. */
  get env(): Record<string, string> {
    return { SOFTHSM2_CONF: join(this.#dir, "softhsm2.conf") }
  }

  /** @param keyFile - PKCS #8, PEM */
  async importKey(label: string, keyFile: string): Promise<void> {
    const id = (++this.#objects).toString(16).padStart(4, "0")
    const key = ["--import", keyFile, "--label", label, "--id", id]
    await this.#util(...key, "--token", TOKEN, "--pin", this.#pin)
    // Servers that read it have given root's rights up.
    await execa("chown", ["-R", `root:${SERVER_GROUP}`, this.#dir])
    await execa("chmod", ["-R", "u+rwX,g+rwX,o-rwx", this.#dir])
  }

  /** PKCS #11 URI of a key, with its PIN's file. */
  uriOf(label: string): string {
    return `pkcs11:token=${TOKEN};object=${label};type=private?pin-source=file:${this.pinFile}`
  }

  async #util(...args: string[]): Promise<void> {
    await execa("softhsm2-util", args, { env: this.env })
  }
}

/** `p11-kit server` over the token: one process for each connection, as AWS's own service has it. */
export class P11KitServer {
  readonly #process: BackgroundProcess
  readonly #socket: string

  private constructor(process: BackgroundProcess, socket: string) {
    this.#process = process
    this.#socket = socket
  }

  /** @throws CodedError `p11-kit-silent` */
  static async start(token: SofthsmToken, socket: string): Promise<P11KitServer> {
    const server = BackgroundProcess.start({
      name: "p11-kit server",
      command: P11_KIT_SERVER,
      args: ["-f", "-n", socket, "--provider", SOFTHSM_MODULE, "pkcs11:"],
      env: { PATH: process.env.PATH, ...token.env },
      logFile: `${socket}.log`,
    })
    for (const deadline = Date.now() + START_TIMEOUT_MS; !existsSync(socket); ) {
      if (!server.running || Date.now() > deadline) {
        await server.stop()
        throw new CodedError("p11-kit-silent", `p11-kit server: ${server.lines.join("\n")}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    // It makes the socket for itself alone, and web servers run as another user.
    await chmod(socket, 0o666)
    return new P11KitServer(server, socket)
  }

  get pid(): number {
    return this.#process.pid
  }

  /** What a consumer of {@link P11_KIT_CLIENT} is started with. */
  get env(): Record<string, string> {
    return { P11_KIT_SERVER_ADDRESS: `unix:path=${this.#socket}` }
  }

  stop(): Promise<void> {
    return this.#process.stop()
  }
}
