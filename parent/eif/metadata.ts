/**
 * The metadata section: JSON about the image, mandatory in version 4 and not measured, so nothing
 * may be decided by it.
 *
 * @see aws-nitro-enclaves-image-format, src/defs/mod.rs (EifIdentityInfo)
 */
import { z } from "zod"
import { EifError } from "./errors.js"

/** Longest metadata section read, in bytes; nitro-cli puts a container image's description there. */
export const MAX_METADATA_BYTES = 4_194_304

const buildMetadataSchema = z.looseObject({
  BuildTime: z.string(),
  BuildTool: z.string(),
  BuildToolVersion: z.string(),
  OperatingSystem: z.string(),
  KernelVersion: z.string(),
})
/** All of them: AWS's reader refuses an image that lacks one. */
const metadataSchema = z.looseObject({
  ImageName: z.string(),
  ImageVersion: z.string(),
  BuildMetadata: buildMetadataSchema,
  DockerInfo: z.json(),
  CustomMetadata: z.json(),
})
export type EifMetadata = z.output<typeof metadataSchema>

/** What is known of an image that is built here. */
export interface MetadataFields {
  imageName: string
  imageVersion: string
  /** Seconds since 1970, for {@link EifMetadata}'s BuildTime: a build's own clock would change the file. */
  buildTimeSecs: number
  buildTool: string
  buildToolVersion: string
  operatingSystem: string
  kernelVersion: string
  custom?: unknown
}

export function makeMetadata(fields: MetadataFields): EifMetadata {
  return metadataSchema.parse({
    ImageName: fields.imageName,
    ImageVersion: fields.imageVersion,
    BuildMetadata: {
      BuildTime: new Date(fields.buildTimeSecs * 1_000).toISOString(),
      BuildTool: fields.buildTool,
      BuildToolVersion: fields.buildToolVersion,
      OperatingSystem: fields.operatingSystem,
      KernelVersion: fields.kernelVersion,
    },
    DockerInfo: {},
    CustomMetadata: fields.custom ?? {},
  })
}

/** @throws EifError `malformed-metadata` */
export function decodeMetadata(section: Buffer): EifMetadata {
  try {
    return metadataSchema.parse(JSON.parse(section.toString("utf8")))
  } catch (cause) {
    throw new EifError("malformed-metadata", "the image's metadata are not the JSON expected", {
      cause,
    })
  }
}
