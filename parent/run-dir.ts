/**
 * The run directory: what must outlive the agent's own restart and be lost at the machine's: the
 * control secrets that own the enclaves, the tokens' PINs, the endpoint file, certificates, and the key
 * objects last seen.
 */
import { randomBytes } from "node:crypto"
import { chmod, chown, mkdir, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import writeFileAtomic from "write-file-atomic"
import { type Address, formatAddress } from "../shared/address.js"
import { systemErrorCode } from "../shared/errors.js"
import { CONTROL_SECRET_BYTES } from "../shared/protocol/limits.js"
import { AgentError } from "./errors.js"

/** 128 bits in 22 characters: libp11 0.4.12 cuts a PIN from a `pin-source` file at 31. */
const RANDOM_PIN_BYTES = 16
const PIN_MODE = 0o640

/** An enclave has a twin while it is being replaced: each has a name and a control secret of its own. */
export type EnclaveSlot = "first" | "second"
const SECRET_FILES: Readonly<Record<EnclaveSlot, string>> = {
  first: "control-secret",
  second: "control-secret-2",
}

/** Every method but {@link RunDir.open} throws AgentError `run-dir-unusable`, too. */
export class RunDir {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /**
   * Opens the directory, making it if need be.
   *
   * @throws AgentError `run-dir-unusable`
   */
  static async open(path: string): Promise<RunDir> {
    try {
      // Servers traverse it; what is secret in it has a mode of its own.
      for (const part of ["", "pins", "certificates", "objects"]) {
        const directory = join(path, part)
        const made = await mkdir(directory, { recursive: true })
        // mkdir obeys the umask, which services set tight. A directory that was there already keeps
        // its mode, unless it is one of our own inside.
        if (made !== undefined || part !== "") await chmod(directory, 0o755)
      }
      return new RunDir(path)
    } catch (cause) {
      throw unusable(path, cause)
    }
  }

  /** The file that the module reads the signing service's address from. */
  get endpointFile(): string {
    return join(this.path, "endpoint")
  }

  /** Where the agent answers `tlskeep status` and others. */
  get agentSocket(): string {
    return join(this.path, "agent.sock")
  }

  async writeEndpoint(address: Address): Promise<void> {
    if ((await this.endpoint()) === formatAddress(address)) return
    await this.#write(this.endpointFile, `${formatAddress(address)}\n`, 0o644)
  }

  /** The address that the endpoint file names, as it stands there. */
  async endpoint(): Promise<string | undefined> {
    return (await this.#read("endpoint"))?.trim()
  }

  /** A file that names another address, for the work; servers keep theirs. */
  async withEndpointFile<Result>(
    address: Address,
    work: (file: string) => Promise<Result>,
  ): Promise<Result> {
    const file = join(this.path, "endpoint-trial")
    await this.#write(file, `${formatAddress(address)}\n`, 0o644)
    try {
      return await work(file)
    } finally {
      await rm(file, { force: true })
    }
  }

  certificateFile(service: string, label: string): string {
    return join(this.path, "certificates", `${service}-${hex(label)}.pem`)
  }

  pinFile(label: string): string {
    return join(this.path, "pins", `${hex(label)}.pin`)
  }

  /** The secret that owns the enclave; undefined if this directory holds none yet. */
  async controlSecret(slot: EnclaveSlot = "first"): Promise<Buffer | undefined> {
    const text = await this.#read(SECRET_FILES[slot])
    const secret = Buffer.from(text?.trim() ?? "", "hex")
    return secret.length === CONTROL_SECRET_BYTES ? secret : undefined
  }

  /** Makes and keeps a new control secret, for an enclave that is about to be started. */
  async newControlSecret(slot: EnclaveSlot = "first"): Promise<Buffer> {
    const secret = randomBytes(CONTROL_SECRET_BYTES)
    await this.#write(join(this.path, SECRET_FILES[slot]), `${secret.toString("hex")}\n`, 0o600)
    return secret
  }

  /**
   * The token's PIN: the configured one, else the one made before, else a new random one. Its file is
   * readable by the web server's group, which reads it by `pin-source`.
   */
  async pin(label: string, configured: string | undefined, gid: number): Promise<string> {
    const path = this.pinFile(label)
    const kept = (await this.#read(join("pins", `${hex(label)}.pin`)))?.trim()
    const pin = configured ?? (kept || randomBytes(RANDOM_PIN_BYTES).toString("base64url"))
    if (pin !== kept) await this.#write(path, pin, PIN_MODE)
    try {
      await chmod(path, PIN_MODE)
      await chown(path, process.getuid?.() ?? 0, gid)
    } catch (cause) {
      throw unusable(this.path, cause)
    }
    return pin
  }

  /** What {@link keepObject} kept for a token. */
  async keptObject(label: string): Promise<string | undefined> {
    return this.#read(join("objects", `${hex(label)}.json`))
  }

  /** Keeps a token's key object, for the agent's next start while the source is away. */
  async keepObject(label: string, content: string): Promise<void> {
    await this.#write(join(this.path, "objects", `${hex(label)}.json`), content, 0o600)
  }

  async #write(path: string, content: string, mode: number): Promise<void> {
    try {
      await writeFileAtomic(path, content, { mode })
    } catch (cause) {
      throw unusable(this.path, cause)
    }
  }

  async #read(name: string): Promise<string | undefined> {
    try {
      return await readFile(join(this.path, name), "utf8")
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return undefined
      throw unusable(this.path, error)
    }
  }
}

function unusable(path: string, cause: unknown): AgentError {
  const reason = systemErrorCode(cause) ?? "failed"
  return new AgentError("run-dir-unusable", `cannot use the run directory ${path}: ${reason}`, {
    advice: "Run the agent as root, or set options.run_dir to a directory it may write.",
    cause,
  })
}

/** Labels may hold any character; file names made of their hex are safe and distinct. */
function hex(label: string): string {
  return Buffer.from(label).toString("hex")
}
