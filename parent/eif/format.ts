/**
 * The enclave image format's fixed parts: the file's header and the sections' headers, big-endian.
 *
 * @see aws-nitro-enclaves-image-format, README.md and src/defs/mod.rs
 */
import { EifError } from "./errors.js"

export const HEADER_BYTES = 548
export const SECTION_HEADER_BYTES = 12
export const MAX_SECTIONS = 32
/** The version written, and the last one read. */
export const VERSION = 4
/** The first version with a checksum. */
export const FIRST_VERSION = 2
/** Where the header ends with the CRC-32 of all other bytes of the file. */
export const CRC_OFFSET = 0x220

const MAGIC = Buffer.from(".eif")
const VERSION_OFFSET = 4
const FLAGS_OFFSET = 6
const DEFAULT_MEMORY_OFFSET = 8
const DEFAULT_CPUS_OFFSET = 16
const SECTION_COUNT_OFFSET = 26
const OFFSETS_OFFSET = 0x1c
const SIZES_OFFSET = 0x11c
const FLAG_AARCH64 = 1
/** Fewest sections: a kernel and a command line. */
const MIN_SECTIONS = 2

const KINDS = ["kernel", "cmdline", "ramdisk", "signature", "metadata"] as const
export type SectionKind = (typeof KINDS)[number]
export type Architecture = "x86_64" | "aarch64"

export interface EifHeader {
  version: number
  architecture: Architecture
  /** Memory of an enclave that is run without saying how much, in bytes. */
  defaultMemory: bigint
  /** vCPUs likewise. */
  defaultCpus: bigint
  /** Of each section: where its own header begins in the file, and its content's length, in bytes. */
  sections: readonly { offset: number; size: number }[]
  crc32: number
}

export interface SectionHeader {
  kind: SectionKind
  flags: number
  size: number
}

export function encodeHeader(header: EifHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(bytes)
  bytes.writeUInt16BE(header.version, VERSION_OFFSET)
  bytes.writeUInt16BE(header.architecture === "aarch64" ? FLAG_AARCH64 : 0, FLAGS_OFFSET)
  bytes.writeBigUInt64BE(header.defaultMemory, DEFAULT_MEMORY_OFFSET)
  bytes.writeBigUInt64BE(header.defaultCpus, DEFAULT_CPUS_OFFSET)
  bytes.writeUInt16BE(header.sections.length, SECTION_COUNT_OFFSET)
  for (const [index, { offset, size }] of header.sections.entries()) {
    bytes.writeBigUInt64BE(BigInt(offset), OFFSETS_OFFSET + 8 * index)
    bytes.writeBigUInt64BE(BigInt(size), SIZES_OFFSET + 8 * index)
  }
  bytes.writeUInt32BE(header.crc32, CRC_OFFSET)
  return bytes
}

/**
 * Reads a header, and holds its offsets against the length of the file: the sections must follow
 * one another without gaps up to the end. AWS's readers differ in whether they go by the offsets or
 * by the sequence, so that a file where the two disagree is a different image to each.
 *
 * @throws EifError `not-an-eif`, `unsupported-version`, `malformed-header`, `truncated`
 */
export function decodeHeader(bytes: Buffer, fileBytes: number): EifHeader {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new EifError("not-an-eif", "the file is no enclave image: it does not begin as one")
  }
  const version = bytes.readUInt16BE(VERSION_OFFSET)
  if (version < FIRST_VERSION || version > VERSION) {
    const known = `${FIRST_VERSION} to ${VERSION}`
    throw new EifError("unsupported-version", `an image of version ${version}, known are ${known}`)
  }
  const flags = bytes.readUInt16BE(FLAGS_OFFSET)
  if ((flags & ~FLAG_AARCH64) !== 0) throw malformed(`unknown flags 0x${flags.toString(16)}`)
  return {
    version,
    architecture: flags === FLAG_AARCH64 ? "aarch64" : "x86_64",
    defaultMemory: bytes.readBigUInt64BE(DEFAULT_MEMORY_OFFSET),
    defaultCpus: bytes.readBigUInt64BE(DEFAULT_CPUS_OFFSET),
    sections: readSections(bytes, fileBytes),
    crc32: bytes.readUInt32BE(CRC_OFFSET),
  }
}

function readSections(bytes: Buffer, fileBytes: number): EifHeader["sections"] {
  const count = bytes.readUInt16BE(SECTION_COUNT_OFFSET)
  if (count < MIN_SECTIONS || count > MAX_SECTIONS) throw malformed(`${count} sections`)
  const sections: { offset: number; size: number }[] = []
  let end = HEADER_BYTES
  for (let index = 0; index < MAX_SECTIONS; index++) {
    const offset = bytes.readBigUInt64BE(OFFSETS_OFFSET + 8 * index)
    const size = bytes.readBigUInt64BE(SIZES_OFFSET + 8 * index)
    if (index >= count) {
      if (offset !== 0n || size !== 0n) throw malformed(`section ${index} is beyond the count`)
      continue
    }
    if (offset !== BigInt(end)) throw malformed(`section ${index} does not follow its neighbour`)
    if (size > BigInt(fileBytes - end)) {
      throw new EifError("truncated", `section ${index} goes beyond the file's end`)
    }
    sections.push({ offset: end, size: Number(size) })
    end += SECTION_HEADER_BYTES + Number(size)
    if (end > fileBytes) {
      throw new EifError("truncated", `section ${index} goes beyond the file's end`)
    }
  }
  if (end < fileBytes) throw malformed(`${fileBytes - end} bytes behind the last section`)
  return sections
}

export function encodeSectionHeader({ kind, flags, size }: SectionHeader): Buffer {
  const bytes = Buffer.alloc(SECTION_HEADER_BYTES)
  bytes.writeUInt16BE(KINDS.indexOf(kind) + 1, 0)
  bytes.writeUInt16BE(flags, 2)
  bytes.writeBigUInt64BE(BigInt(size), 4)
  return bytes
}

/**
 * @param size - the content's length by the file's header.
 * @throws EifError `malformed-section`
 */
export function decodeSectionHeader(bytes: Buffer, index: number, size: number): SectionHeader {
  const type = bytes.readUInt16BE(0)
  const kind = KINDS[type - 1]
  if (kind === undefined) {
    throw new EifError("malformed-section", `section ${index} is of unknown type ${type}`)
  }
  if (bytes.readBigUInt64BE(4) !== BigInt(size)) {
    throw new EifError(
      "malformed-section",
      `section ${index} states another length than the header`,
    )
  }
  return { kind, flags: bytes.readUInt16BE(2), size }
}

function malformed(reason: string): EifError {
  return new EifError("malformed-header", `the image's header is malformed: ${reason}`)
}
