/**
 * Builds an enclave image file from a kernel, a command line and ramdisks. The same inputs give the
 * same file, byte for byte, unless it is signed: ECDSA signatures differ, measurements don't.
 */
import { randomBytes } from "node:crypto"
import { type FileHandle, open, rename, rm } from "node:fs/promises"
import { crc32 } from "node:zlib"
import { systemErrorCode } from "../../shared/errors.js"
import { EifError } from "./errors.js"
import {
  type Architecture,
  CRC_OFFSET,
  encodeHeader,
  encodeSectionHeader,
  HEADER_BYTES,
  MAX_SECTIONS,
  SECTION_HEADER_BYTES,
  type SectionKind,
  VERSION,
} from "./format.js"
import { type Measurements, Measurer } from "./measure.js"
import type { EifMetadata } from "./metadata.js"
import type { ImageSigner } from "./signature.js"

export interface EifInputs {
  /** File of the kernel: a bzImage, or an Image for aarch64. */
  kernel: string
  cmdline: Buffer
  /** Files; the first belongs to the boot part (PCR1), the others to the application (PCR2). */
  ramdisks: readonly string[]
  metadata: EifMetadata
  architecture: Architecture
  signer?: ImageSigner | undefined
}

/** What nitro-cli's own builder writes: memory in bytes, and vCPUs. `run-enclave` overrides both. */
const DEFAULT_MEMORY = 1_073_741_824n
const DEFAULT_CPUS = 2n
const CHUNK_BYTES = 1_048_576

/** A section to be written: bytes in memory, or a file. */
interface Part {
  kind: SectionKind
  source: Buffer | string
}

/**
 * Writes the image at `output`, in one step: a build that fails leaves what was there.
 *
 * The files are read twice, since the checksum and the signature stand before and behind what they
 * are about; a file that changes in between is noticed.
 *
 * @throws EifError `input-unreadable`, `input-changed`, `too-many-sections`, `output-failed`
 */
export async function buildEif(inputs: EifInputs, output: string): Promise<Measurements> {
  const { kernel, cmdline, ramdisks, metadata, signer } = inputs
  const measured: Part[] = [
    { kind: "kernel", source: kernel },
    { kind: "cmdline", source: cmdline },
    { kind: "metadata", source: Buffer.from(JSON.stringify(metadata)) },
    ...ramdisks.map((source): Part => ({ kind: "ramdisk", source })),
  ]
  if (ramdisks.length === 0) {
    throw new EifError("missing-section", "an image needs a ramdisk")
  }
  if (measured.length + (signer === undefined ? 0 : 1) > MAX_SECTIONS) {
    throw new EifError("too-many-sections", `an image has at most ${MAX_SECTIONS} sections`)
  }
  const { sizes, measurements } = await measure(measured)
  if (signer === undefined) {
    await write(inputs.architecture, measured, sizes, measurements, output)
    return measurements
  }
  const signature = signer.sign(measurements.PCR0)
  const parts: Part[] = [...measured, { kind: "signature", source: signature }]
  await write(inputs.architecture, parts, [...sizes, signature.length], measurements, output)
  return { ...measurements, PCR8: signer.pcr8 }
}

async function measure(
  parts: readonly Part[],
): Promise<{ sizes: number[]; measurements: Measurements }> {
  const measurer = new Measurer()
  const sizes: number[] = []
  for (const { kind, source } of parts) {
    measurer.begin(kind)
    let size = 0
    for await (const chunk of chunksOf(source)) {
      measurer.update(chunk)
      size += chunk.length
    }
    if (size === 0 && typeof source === "string") {
      throw new EifError("input-unreadable", `${source} is empty`)
    }
    sizes.push(size)
  }
  return { sizes, measurements: measurer.finish() }
}

async function write(
  architecture: Architecture,
  parts: readonly Part[],
  sizes: readonly number[],
  expected: Measurements,
  output: string,
): Promise<void> {
  const unfinished = `${output}.${randomBytes(6).toString("hex")}`
  try {
    const file = await open(unfinished, "wx", 0o644)
    try {
      await writeParts(file, architecture, parts, sizes, expected)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(unfinished, output)
  } catch (cause) {
    await rm(unfinished, { force: true })
    if (cause instanceof EifError) throw cause
    const reason = systemErrorCode(cause) ?? "failed"
    throw new EifError("output-failed", `cannot write ${output}: ${reason}`, { cause })
  }
}

async function writeParts(
  file: FileHandle,
  architecture: Architecture,
  parts: readonly Part[],
  sizes: readonly number[],
  expected: Measurements,
): Promise<void> {
  const header = encodeHeader({
    version: VERSION,
    architecture,
    defaultMemory: DEFAULT_MEMORY,
    defaultCpus: DEFAULT_CPUS,
    sections: layOut(sizes),
    crc32: 0,
  })
  let crc = crc32(header.subarray(0, CRC_OFFSET))
  await file.writeFile(header)
  const measurer = new Measurer()
  for (const [index, { kind, source }] of parts.entries()) {
    const size = sizes[index] ?? 0
    const sectionHeader = encodeSectionHeader({ kind, flags: 0, size })
    crc = crc32(sectionHeader, crc)
    await file.writeFile(sectionHeader)
    measurer.begin(kind)
    let written = 0
    for await (const chunk of chunksOf(source)) {
      crc = crc32(chunk, crc)
      measurer.update(chunk)
      await file.writeFile(chunk)
      written += chunk.length
    }
    if (written !== size) throw changed()
  }
  if (measurer.finish().PCR0 !== expected.PCR0) throw changed()
  header.writeUInt32BE(crc, CRC_OFFSET)
  await file.write(header, CRC_OFFSET, HEADER_BYTES - CRC_OFFSET, CRC_OFFSET)
}

function layOut(sizes: readonly number[]): { offset: number; size: number }[] {
  let offset = HEADER_BYTES
  return sizes.map((size) => {
    const section = { offset, size }
    offset += SECTION_HEADER_BYTES + size
    return section
  })
}

async function* chunksOf(source: Buffer | string): AsyncGenerator<Buffer> {
  if (typeof source !== "string") {
    yield source
    return
  }
  let file: FileHandle | undefined
  try {
    file = await open(source, "r")
    yield* file.createReadStream({ highWaterMark: CHUNK_BYTES, autoClose: false })
  } catch (cause) {
    const reason = systemErrorCode(cause) ?? "unreadable"
    throw new EifError("input-unreadable", `cannot read ${source}: ${reason}`, { cause })
  } finally {
    await file?.close()
  }
}

function changed(): EifError {
  return new EifError("input-changed", "a file changed while the image was built of it")
}
