/**
 * Settings of the simulated IMDS that tests change while it runs (`imds-settings.json`, read for
 * every request): which tags it shows and the faults it plays.
 */
import { z } from "zod"
import { readJson, writeJson } from "../files.js"
import type { SimPaths } from "../paths.js"

const settingsSchema = z.strictObject({
  /** Whether the instance's tags are shown, an option of each instance on EC2. Default true. */
  instanceTags: z.boolean().optional(),
  /** HTTP status of every answer to a request for a token. */
  tokenStatus: z.int().min(400).max(599).optional(),
  /** HTTP status of every answer to a request with a token. */
  status: z.int().min(400).max(599).optional(),
  /** Every answer waits so long. */
  delayMs: z.int().min(0).max(600_000).optional(),
})

export type ImdsSettings = z.infer<typeof settingsSchema>

export function readImdsSettings(paths: SimPaths): ImdsSettings {
  return readJson(paths.imdsSettings, settingsSchema) ?? {}
}

/** Replaces the settings; for tests and the demo. */
export function writeImdsSettings(paths: SimPaths, settings: ImdsSettings): void {
  writeJson(paths.imdsSettings, settingsSchema.parse(settings))
}
