/**
 * File habits of the simulator: whole-file writes that another process never sees half done, JSON
 * read with a schema, and files that may not be there.
 */
import { randomBytes } from "node:crypto"
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import type { z } from "zod"
import { CodedError, systemErrorCode } from "../shared/errors.js"

/** Replaces `path` in one step, with the folders above it; synchronous, so that no turn intervenes. */
export function writeFileInOneStep(path: string, content: string | Uint8Array, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true })
  const draft = `${path}.${randomBytes(6).toString("hex")}.tmp`
  writeFileSync(draft, content, { mode })
  renameSync(draft, path)
}

/** The file's bytes, or undefined if there is no such file. */
export function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === "ENOENT" || code === "ENOTDIR") return undefined
    throw error
  }
}

/**
 * Reads a JSON file of the simulator; undefined if there is none.
 *
 * @throws CodedError `bad-file` naming the file, when it holds anything but what `schema` says.
 */
export function readJson<T>(path: string, schema: z.ZodType<T>): T | undefined {
  const bytes = readIfThere(path)
  if (bytes === undefined) return undefined
  try {
    return schema.parse(JSON.parse(bytes.toString("utf8")))
  } catch (cause) {
    throw new CodedError("bad-file", `${path} cannot be read`, { cause })
  }
}

/** Writes `value` as indented JSON, in one step. */
export function writeJson(path: string, value: unknown, mode = 0o644): void {
  writeFileInOneStep(path, `${JSON.stringify(value, null, 2)}\n`, mode)
}
