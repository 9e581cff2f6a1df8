/**
 * What the files were before a change that is still on trial, kept in the run directory: an agent that
 * dies in between leaves to the next one what the last good files were.
 */
import { readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import writeFileAtomic from "write-file-atomic"
import { z } from "zod"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError } from "../errors.js"
import type { FormerFile } from "./files.js"

const FILE_NAME = "publication.json"
/** Certificates and configuration; a PIN may be in them. */
const MODE = 0o600

const journalSchema = z.array(
  z.strictObject({
    path: z.string(),
    former: z
      .strictObject({
        content: z.base64(),
        mode: z.int(),
        uid: z.int(),
        gid: z.int(),
      })
      .nullable(),
  }),
)

/** Every method throws AgentError `run-dir-unusable`. */
export class Journal {
  readonly #path: string

  constructor(runDirPath: string) {
    this.#path = join(runDirPath, FILE_NAME)
  }

  /** What an agent that died left on trial; empty where none did. */
  async read(): Promise<FormerFile[]> {
    try {
      const entries = journalSchema.parse(JSON.parse(await readFile(this.#path, "utf8")))
      return entries.map(({ path, former }) => ({
        path,
        former: former === null ? undefined : decode(former),
      }))
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return []
      throw this.#unusable(error)
    }
  }

  /** Before the files are written. */
  async write(files: readonly FormerFile[]): Promise<void> {
    const entries = files.map(({ path, former }) => ({
      path,
      former: former === undefined ? null : encode(former),
    }))
    try {
      await writeFileAtomic(this.#path, JSON.stringify(entries), { mode: MODE })
    } catch (cause) {
      throw this.#unusable(cause)
    }
  }

  /** When the new files have proven good, or the former ones are back. */
  async clear(): Promise<void> {
    try {
      await rm(this.#path, { force: true })
    } catch (cause) {
      throw this.#unusable(cause)
    }
  }

  #unusable(cause: unknown): AgentError {
    const reason = systemErrorCode(cause) ?? "it is damaged"
    return new AgentError("run-dir-unusable", `cannot use ${this.#path}: ${reason}`, {
      advice: "Remove the file if it is damaged; the agent needs to write its run directory.",
      cause,
    })
  }
}

type Kept = NonNullable<FormerFile["former"]>
type Entry = NonNullable<z.output<typeof journalSchema>[number]["former"]>

function encode({ content, mode, owner }: Kept): Entry {
  return { content: content.toString("base64"), mode, ...owner }
}

function decode({ content, mode, uid, gid }: Entry): Kept {
  return { content: Buffer.from(content, "base64"), mode, owner: { uid, gid } }
}
