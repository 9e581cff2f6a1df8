/**
 * Key objects in a file: the list that AWS's pack-key writes, or the one object that `tlskeep seal`
 * does. Read whole each time, and compared by what it says.
 */
import { createHash } from "node:crypto"
import { readFile, stat } from "node:fs/promises"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError } from "../errors.js"
import { type KeyObject, parseKeyObject } from "./key-object.js"
import { entryObject, parsePackKey, pickEntry } from "./pack-key.js"
import { type Fetched, fetchAborted, type Source, underAcceptedKey } from "./source.js"

/** More than the largest list for 128 tokens. */
const MAX_FILE_BYTES = 4 * 1024 * 1024

export interface FileDbOptions {
  path: string
  /** Which entry of a list: its `id` or `label`. */
  id?: string | undefined
  /** PEM certificates, leaf first, for entries without their own. */
  certificatePath?: string | undefined
  acceptedKeyId?: string | null | undefined
}

export class FileDbSource implements Source {
  readonly name: string
  readonly acceptedKeyId: string | null
  readonly #id: string | undefined
  readonly #certificatePath: string | undefined
  #digest: string | undefined

  constructor({ path, id, certificatePath, acceptedKeyId }: FileDbOptions) {
    this.name = path
    this.acceptedKeyId = acceptedKeyId ?? null
    this.#id = id
    this.#certificatePath = certificatePath
  }

  async fetch(signal?: AbortSignal): Promise<Fetched> {
    const object = await this.#read(signal)
    const digest = digestOf(object)
    // By content: times tell nothing of a file that was copied, restored or written twice at once.
    if (digest === this.#digest) return { changed: false }
    this.#digest = digest
    return { changed: true, object: underAcceptedKey(object, this.acceptedKeyId) }
  }

  async #read(signal: AbortSignal | undefined): Promise<KeyObject> {
    const text = await readText(this.name, signal)
    // Ours is an object, AWS's a list.
    if (/^\s*\{/.test(text)) return this.#ours(text)
    const entry = pickEntry(parsePackKey(text, this.name), this.#id, this.name)
    if (entry.cert_pem) {
      const pemName = `cert_pem of '${entry.label}' in ${this.name}`
      return entryObject(entry, { pem: entry.cert_pem, pemName }, this.name)
    }
    if (this.#certificatePath === undefined) {
      throw new AgentError(
        "key-object-malformed",
        `${this.name}: entry '${entry.label}' has no cert_pem`,
        { advice: "Name the file of its certificate and chain by the source's certificate_path." },
      )
    }
    const pem = await readText(this.#certificatePath, signal)
    return entryObject(entry, { pem, pemName: this.#certificatePath }, this.name)
  }

  #ours(text: string): KeyObject {
    const object = parseKeyObject(text, this.name)
    if (this.#id === undefined) return object
    throw new AgentError(
      "key-file-entry-missing",
      `${this.name} is one key object, of no id, and the source asks for '${this.#id}'`,
      { advice: "Remove the source's id." },
    )
  }
}

/** Of everything that the enclave or the web server is given. */
function digestOf({ certificates, encryptedPrivateKey, keyId, encryptionContext }: KeyObject) {
  const hash = createHash("sha256")
  const parts = certificates.map(({ fingerprint256 }) => fingerprint256)
  hash.update(JSON.stringify([parts, keyId, encryptionContext]))
  return hash.update(encryptedPrivateKey).digest("hex")
}

async function readText(path: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    const { size } = await regularFile(path)
    if (size <= MAX_FILE_BYTES) return await readFile(path, { encoding: "utf8", signal })
  } catch (cause) {
    if (signal?.aborted) throw fetchAborted(path, cause)
    if (cause instanceof AgentError) throw cause
    throw unreadable(path, systemErrorCode(cause) ?? "unreadable", cause)
  }
  throw unreadable(path, "larger than 4 MiB")
}

/** A pipe would be waited for without end. */
async function regularFile(path: string) {
  const found = await stat(path)
  if (found.isFile()) return found
  throw unreadable(path, "not a regular file")
}

function unreadable(path: string, reason: string, cause?: unknown): AgentError {
  return new AgentError("key-file-unreadable", `cannot read ${path}: ${reason}`, {
    advice: "Check the source's paths, and that this user may read the files.",
    cause,
  })
}
