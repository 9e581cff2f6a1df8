/** `tlskeep eif`: builds, describes and measures enclave image files without nitro-cli. */
import { readFile } from "node:fs/promises"
import { systemErrorCode } from "../../shared/errors.js"
import { VERSION } from "../../shared/version.js"
import { buildEif } from "../eif/build.js"
import { describeEif, readableDescription, readableMeasurements } from "../eif/description.js"
import { EifError } from "../eif/errors.js"
import type { Architecture } from "../eif/format.js"
import { makeMetadata } from "../eif/metadata.js"
import { type Eif, readEif } from "../eif/read.js"
import { imageSigner } from "../eif/signature.js"

export interface EifBuildOptions {
  kernel: string
  cmdline: string
  ramdisk: string[]
  output: string
  arch: Architecture
  name: string
  imageVersion: string
  operatingSystem: string
  kernelVersion: string
  metadata?: string
  privateKey?: string
  signingCertificate?: string
  json: boolean
}

export interface EifOutputOptions {
  json: boolean
}

export interface EifPcrsOptions extends EifOutputOptions {
  requireSigned: boolean
}

/** `tlskeep eif build`: returns what to print. */
export async function eifBuildCommand(options: EifBuildOptions): Promise<string> {
  const signer =
    options.privateKey === undefined || options.signingCertificate === undefined
      ? undefined
      : imageSigner(
          await readInput(options.privateKey),
          await readInput(options.signingCertificate),
        )
  if ((options.privateKey === undefined) !== (options.signingCertificate === undefined)) {
    throw new EifError(
      "not-signed",
      "a signed image needs both --private-key and --signing-certificate",
    )
  }
  const measurements = await buildEif(
    {
      kernel: options.kernel,
      cmdline: Buffer.from(options.cmdline),
      ramdisks: options.ramdisk,
      architecture: options.arch,
      metadata: makeMetadata({
        imageName: options.name,
        imageVersion: options.imageVersion,
        buildTimeSecs: buildTimeSecs(process.env.SOURCE_DATE_EPOCH ?? "0"),
        buildTool: "tlskeep",
        buildToolVersion: VERSION,
        operatingSystem: options.operatingSystem,
        kernelVersion: options.kernelVersion,
        ...(options.metadata === undefined ? {} : { custom: await readJson(options.metadata) }),
      }),
      signer,
    },
    options.output,
  )
  if (options.json) return JSON.stringify({ Measurements: measurements }, null, 2)
  return readableMeasurements(measurements).join("\n")
}

/** `tlskeep eif describe`: what to print, and whether the image is whole and rightly signed. */
export async function eifDescribeCommand(
  path: string,
  { json }: EifOutputOptions,
): Promise<{ text: string; isGood: boolean }> {
  const eif = await readEif(path)
  const description = describeEif(eif)
  return {
    text: json ? JSON.stringify(description, null, 2) : readableDescription(description),
    isGood: eif.isCrcRight && eif.signature?.isValid !== false,
  }
}

/**
 * `tlskeep eif pcrs`: the measurements alone, and only of a sound image.
 *
 * @throws EifError `crc-mismatch`, `invalid-signature`, `not-signed`
 */
export async function eifPcrsCommand(path: string, options: EifPcrsOptions): Promise<string> {
  const eif = await readEif(path)
  checkSound(eif, path)
  if (options.requireSigned && eif.signature === null) {
    throw new EifError("not-signed", `${path} is not signed`)
  }
  if (options.json) return JSON.stringify({ Measurements: eif.measurements }, null, 2)
  return readableMeasurements(eif.measurements).join("\n")
}

/** By the convention of reproducible builds: with today's date each build would be another file. */
function buildTimeSecs(epoch: string): number {
  if (/^\d{1,11}$/.test(epoch)) return Number(epoch)
  throw new EifError("malformed-metadata", "SOURCE_DATE_EPOCH is not a number of seconds")
}

function checkSound({ isCrcRight, signature }: Eif, path: string): void {
  if (!isCrcRight) throw new EifError("crc-mismatch", `${path} is damaged: its checksum is wrong`)
  if (signature?.isValid === false) {
    throw new EifError("invalid-signature", `the signature of ${path} is not over this image`)
  }
}

async function readInput(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const reason = systemErrorCode(cause) ?? "unreadable"
    throw new EifError("input-unreadable", `cannot read ${path}: ${reason}`, { cause })
  }
}

async function readJson(path: string): Promise<unknown> {
  const text = (await readInput(path)).toString("utf8")
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new EifError("malformed-metadata", `${path} is no JSON`, { cause })
  }
}
