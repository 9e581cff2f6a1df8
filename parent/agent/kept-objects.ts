/**
 * The key objects that an agent's next start can go on with while their source is away: what was
 * fetched last, and what the web server was given last. They are as the source gives them out: the
 * private key is a KMS ciphertext.
 */
import type { RunDir } from "../run-dir.js"
import { type KeyObject, parseKeyObject, writeKeyObject } from "../source/key-object.js"

export interface KeptObjects {
  fetched: KeyObject | undefined
  /** What the server's files name. */
  published: KeyObject | undefined
}

interface Stored {
  /** Name of the source: an object of another one is of no use. */
  source: string
  fetched: string | null
  published: string | null
}

export class ObjectKeeper {
  readonly #runDir: RunDir
  readonly #label: string
  readonly #source: string

  constructor(runDir: RunDir, label: string, source: string) {
    this.#runDir = runDir
    this.#label = label
    this.#source = source
  }

  /** What was kept; what cannot be read was not. */
  async load(): Promise<KeptObjects> {
    const text = await this.#runDir.keptObject(this.#label).catch(() => undefined)
    try {
      const { source, fetched, published } = JSON.parse(text ?? "") as Stored
      const parse = (json: string | null): KeyObject | undefined =>
        json === null ? undefined : parseKeyObject(json, "the object kept")
      const ours = source === this.#source
      return { fetched: ours ? parse(fetched) : undefined, published: parse(published) }
    } catch {
      return { fetched: undefined, published: undefined }
    }
  }

  /** @throws AgentError `run-dir-unusable` */
  async save({ fetched, published }: KeptObjects): Promise<void> {
    const write = (object: KeyObject | undefined): string | null =>
      object === undefined ? null : writeKeyObject(object)
    const stored: Stored = {
      source: this.#source,
      fetched: write(fetched),
      published: write(published),
    }
    await this.#runDir.keepObject(this.#label, JSON.stringify(stored))
  }
}
