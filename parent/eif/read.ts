/**
 * Reads an enclave image file in one pass: checks its form, computes its checksum and measurements.
 * Kernel and ramdisks are streamed, whatever their size.
 */
import { type FileHandle, open } from "node:fs/promises"
import { crc32 } from "node:zlib"
import { systemErrorCode } from "../../shared/errors.js"
import { EifError } from "./errors.js"
import {
  type Architecture,
  CRC_OFFSET,
  decodeHeader,
  decodeSectionHeader,
  HEADER_BYTES,
  SECTION_HEADER_BYTES,
  type SectionHeader,
  type SectionKind,
} from "./format.js"
import { type Measurements, Measurer } from "./measure.js"
import { decodeMetadata, type EifMetadata, MAX_METADATA_BYTES } from "./metadata.js"
import { decodeUnverifiedSignature, type ImageSignature, MAX_SIGNATURE_BYTES } from "./signature.js"

/** What an image file is and says. */
export interface Eif {
  version: number
  architecture: Architecture
  defaultMemory: bigint
  defaultCpus: bigint
  sections: readonly SectionHeader[]
  /** Where it is at most 64 KiB long, as UTF-8. */
  cmdline: string
  /** PCR8 is there if the image is signed, whoever signed it. */
  measurements: Measurements
  isCrcRight: boolean
  metadata: EifMetadata | null
  /** Null for an unsigned image. */
  signature: { content: ImageSignature; isValid: boolean } | null
}

/** The kernel's own limit is 2 KiB. */
const MAX_CMDLINE_BYTES = 65_536
const CHUNK_BYTES = 1_048_576
/** Kinds that are kept in memory, and up to how many bytes. */
const KEPT: Partial<Record<SectionKind, number>> = {
  cmdline: MAX_CMDLINE_BYTES,
  metadata: MAX_METADATA_BYTES,
  signature: MAX_SIGNATURE_BYTES,
}
/** The version that made the metadata section mandatory. */
const METADATA_VERSION = 4

/**
 * Reads an image. A wrong checksum or signature is told, not thrown: whoever goes by the
 * measurements must look at `isCrcRight`.
 *
 * @throws EifError for a file that is no well-formed image
 */
export async function readEif(path: string): Promise<Eif> {
  const file = await openImage(path)
  try {
    return await read(file)
  } catch (cause) {
    if (systemErrorCode(cause) === undefined || cause instanceof EifError) throw cause
    throw unreadable(path, cause)
  } finally {
    await file.close()
  }
}

async function read(file: FileHandle): Promise<Eif> {
  const { size: fileBytes } = await file.stat()
  const headerBytes = Buffer.alloc(HEADER_BYTES)
  const { bytesRead } = await file.read(headerBytes, 0, HEADER_BYTES, 0)
  const header = decodeHeader(headerBytes.subarray(0, bytesRead), fileBytes)
  const measurer = new Measurer()
  const sections: SectionHeader[] = []
  const kept = new Map<SectionKind, Buffer>()
  let crc = crc32(headerBytes.subarray(0, CRC_OFFSET))
  for (const [index, { offset, size }] of header.sections.entries()) {
    const sectionBytes = await readExactly(file, offset, SECTION_HEADER_BYTES)
    crc = crc32(sectionBytes, crc)
    const section = decodeSectionHeader(sectionBytes, index, size)
    checkOrder(section.kind, sections)
    sections.push(section)
    measurer.begin(section.kind)
    const limit = KEPT[section.kind]
    if (limit !== undefined && size > limit) throw tooLong(section.kind, size)
    const chunks: Buffer[] = []
    for await (const chunk of contentOf(file, offset + SECTION_HEADER_BYTES, size)) {
      crc = crc32(chunk, crc)
      measurer.update(chunk)
      if (limit !== undefined) chunks.push(Buffer.from(chunk))
    }
    if (limit !== undefined) kept.set(section.kind, Buffer.concat(chunks))
  }
  checkComplete(sections, header.version)
  const signature = kept.get("signature")
  const metadata = kept.get("metadata")
  return {
    ...header,
    sections,
    cmdline: (kept.get("cmdline") ?? Buffer.alloc(0)).toString("utf8"),
    isCrcRight: crc === header.crc32,
    metadata: metadata === undefined ? null : decodeMetadata(metadata),
    ...measuredAndSigned(measurer.finish(), signature),
  }
}

function measuredAndSigned(
  measurements: Measurements,
  section: Buffer | undefined,
): Pick<Eif, "measurements" | "signature"> {
  if (section === undefined) return { measurements, signature: null }
  const content = decodeUnverifiedSignature(section)
  return {
    measurements: { ...measurements, PCR8: content.pcr8 },
    signature: { content, isValid: content.isValidFor(measurements.PCR0) },
  }
}

/** The chunks share one buffer: each is gone with the next. */
async function* contentOf(file: FileHandle, from: number, size: number): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(Math.min(size, CHUNK_BYTES))
  for (let done = 0; done < size; ) {
    const wanted = Math.min(size - done, buffer.length)
    const { bytesRead } = await file.read(buffer, 0, wanted, from + done)
    if (bytesRead === 0) throw new EifError("truncated", "the file got shorter while it was read")
    yield buffer.subarray(0, bytesRead)
    done += bytesRead
  }
}

async function readExactly(file: FileHandle, from: number, size: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, from)
  if (bytesRead < size) throw new EifError("truncated", "the file got shorter while it was read")
  return buffer
}

/** Measured parts follow in the order in which they are measured, so that all readers agree. */
function checkOrder(kind: SectionKind, before: readonly SectionHeader[]): void {
  const has = (other: SectionKind) => before.some((section) => section.kind === other)
  if (kind !== "ramdisk" && has(kind)) {
    throw new EifError("duplicate-section", `the image has a second ${kind}`)
  }
  if (
    (kind === "cmdline" && !has("kernel")) ||
    (kind === "ramdisk" && !has("cmdline")) ||
    (kind === "kernel" && (has("cmdline") || has("ramdisk")))
  ) {
    throw new EifError("section-order", `the image's ${kind} is not where it is measured`)
  }
}

function checkComplete(sections: readonly SectionHeader[], version: number): void {
  const wanted: SectionKind[] = ["kernel", "cmdline", "ramdisk"]
  if (version >= METADATA_VERSION) wanted.push("metadata")
  for (const kind of wanted) {
    if (sections.some((section) => section.kind === kind)) continue
    throw new EifError("missing-section", `the image has no ${kind}`)
  }
}

function tooLong(kind: SectionKind, size: number): EifError {
  const code =
    kind === "metadata"
      ? "malformed-metadata"
      : kind === "signature"
        ? "malformed-signature"
        : "malformed-section"
  return new EifError(code, `the image's ${kind} is ${size} bytes long`)
}

async function openImage(path: string): Promise<FileHandle> {
  try {
    const file = await open(path, "r")
    const { isFile } = await file.stat().then((stat) => ({ isFile: stat.isFile() }))
    if (isFile) return file
    await file.close()
  } catch (cause) {
    throw unreadable(path, cause)
  }
  throw new EifError("eif-unreadable", `${path} is not a regular file`)
}

function unreadable(path: string, cause: unknown): EifError {
  const reason = systemErrorCode(cause) ?? "unreadable"
  return new EifError("eif-unreadable", `cannot read ${path}: ${reason}`, { cause })
}
