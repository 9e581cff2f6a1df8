/**
 * Settings of the simulated KMS that tests change while it runs (`kms/settings.json`, read for
 * every request): the shape of its CMS and the faults it plays.
 */
import { join } from "node:path"
import { z } from "zod"
import { readJson, writeJson } from "../files.js"
import type { CmsShape } from "./cms.js"
import { KmsError } from "./errors.js"

const settingsSchema = z.strictObject({
  /** Shape of CiphertextForRecipient; `alternate` (the default) changes it with every answer. */
  cmsShape: z.enum(["constructed", "primitive", "alternate"]).optional(),
  /** Longest OCTET STRING of the constructed shape. Default 1024. */
  cmsChunkBytes: z.int().min(1).max(8192).optional(),
  /** So many requests are refused with ThrottlingException; counted down in the file. */
  throttleNext: z.int().min(0).optional(),
  /** So many requests are refused with ServiceUnavailableException; counted down in the file. */
  unavailableNext: z.int().min(0).optional(),
  /** Decrypt names this key in its answer, whatever key it used. */
  answerKeyId: z.string().optional(),
  /** Every request is refused as by an explicit deny in the key's policy. */
  denyAll: z.boolean().optional(),
  /** Every answer waits so long. */
  delayMs: z.int().min(0).max(600_000).optional(),
})

export type KmsSettings = z.infer<typeof settingsSchema>

const DEFAULT_CHUNK_BYTES = 1024

function settingsFile(kmsDir: string): string {
  return join(kmsDir, "settings.json")
}

export function readKmsSettings(kmsDir: string): KmsSettings {
  return readJson(settingsFile(kmsDir), settingsSchema) ?? {}
}

/** Replaces the settings; for tests and the demo. */
export function writeKmsSettings(kmsDir: string, settings: KmsSettings): void {
  writeJson(settingsFile(kmsDir), settingsSchema.parse(settings))
}

/**
 * Plays the faults that are due for one request, before its input is looked at.
 *
 * @throws KmsError `ThrottlingException` or `ServiceUnavailableException`.
 */
export function playFaults(kmsDir: string, settings: KmsSettings): void {
  const { throttleNext = 0, unavailableNext = 0 } = settings
  if (throttleNext > 0) {
    writeKmsSettings(kmsDir, { ...settings, throttleNext: throttleNext - 1 })
    throw new KmsError("ThrottlingException", "Rate exceeded")
  }
  if (unavailableNext > 0) {
    writeKmsSettings(kmsDir, { ...settings, unavailableNext: unavailableNext - 1 })
    throw new KmsError("ServiceUnavailableException", "Service is unavailable, try again")
  }
}

/** Chooses the shape of each CiphertextForRecipient. */
export class CmsShaper {
  #next: CmsShape = "constructed"

  shape({ cmsShape = "alternate", cmsChunkBytes = DEFAULT_CHUNK_BYTES }: KmsSettings): {
    shape: CmsShape
    chunkBytes: number
  } {
    if (cmsShape !== "alternate") return { shape: cmsShape, chunkBytes: cmsChunkBytes }
    const shape = this.#next
    this.#next = shape === "constructed" ? "primitive" : "constructed"
    return { shape, chunkBytes: cmsChunkBytes }
  }
}
