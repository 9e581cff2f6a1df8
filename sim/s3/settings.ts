/**
 * Settings of the simulated S3 that tests change while it runs (`s3-settings.json`, read for every
 * request): the faults it plays.
 */
import { z } from "zod"
import { readJson, writeJson } from "../files.js"
import type { SimPaths } from "../paths.js"
import { S3Error } from "./errors.js"

const settingsSchema = z.strictObject({
  /** So many requests are refused with SlowDown; counted down in the file. */
  throttleNext: z.int().min(0).optional(),
  /** So many requests are refused with ServiceUnavailable; counted down in the file. */
  unavailableNext: z.int().min(0).optional(),
  /** Every answer waits so long. */
  delayMs: z.int().min(0).max(600_000).optional(),
})

export type S3Settings = z.infer<typeof settingsSchema>

export function readS3Settings(paths: SimPaths): S3Settings {
  return readJson(paths.s3Settings, settingsSchema) ?? {}
}

/** Replaces the settings; for tests and the demo. */
export function writeS3Settings(paths: SimPaths, settings: S3Settings): void {
  writeJson(paths.s3Settings, settingsSchema.parse(settings))
}

/**
 * Plays the faults that are due for one request, before it is looked at.
 *
 * @throws S3Error `SlowDown` or `ServiceUnavailable`.
 */
export function playFaults(paths: SimPaths, settings: S3Settings): void {
  const { throttleNext = 0, unavailableNext = 0 } = settings
  if (throttleNext > 0) {
    writeS3Settings(paths, { ...settings, throttleNext: throttleNext - 1 })
    throw new S3Error("SlowDown", "Please reduce your request rate.")
  }
  if (unavailableNext > 0) {
    writeS3Settings(paths, { ...settings, unavailableNext: unavailableNext - 1 })
    throw new S3Error("ServiceUnavailable", "Service is unable to handle request.")
  }
}
