/** Corrupts every field of an image and expects the code that names what is wrong. */
import { truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { HEADER_BYTES, SECTION_HEADER_BYTES } from "../../parent/eif/format.js"
import { readEif } from "../../parent/eif/read.js"
import { makeImage, testFolder, withRightCrc } from "./images.js"

const dir = await testFolder()
const changed = join(dir, "changed.eif")
let image: Buffer
/** Where each section begins: kernel, cmdline, metadata, two ramdisks. */
const at: number[] = []

beforeAll(async () => {
  image = (await makeImage(dir)).bytes
  for (let index = 0; index < 5; index++) {
    at.push(Number(image.readBigUInt64BE(0x1c + 8 * index)))
  }
})

/** The outcome for an image that `change` was made to; its checksum is right unless told. */
async function reading(change: (bytes: Buffer) => Buffer | undefined, keepCrc = false) {
  const copy = Buffer.from(image)
  const bytes = change(copy) ?? copy
  const isShort = bytes.length < HEADER_BYTES
  await writeFile(changed, keepCrc || isShort ? bytes : withRightCrc(bytes))
  return readEif(changed)
}

describe("a header", () => {
  it.each<[string, string, (bytes: Buffer) => Buffer | undefined]>([
    ["not-an-eif", "an empty file", () => Buffer.alloc(0)],
    ["not-an-eif", "half a header", (bytes) => bytes.subarray(0, HEADER_BYTES - 1)],
    ["not-an-eif", "another magic", (bytes) => void bytes.write(".elf")],
    ["unsupported-version", "version 1", (bytes) => void bytes.writeUInt16BE(1, 4)],
    ["unsupported-version", "version 5", (bytes) => void bytes.writeUInt16BE(5, 4)],
    ["malformed-header", "an unknown flag", (bytes) => void bytes.writeUInt16BE(2, 6)],
    ["malformed-header", "one section", (bytes) => void bytes.writeUInt16BE(1, 26)],
    ["malformed-header", "33 sections", (bytes) => void bytes.writeUInt16BE(33, 26)],
    ["malformed-header", "a section fewer", (bytes) => void bytes.writeUInt16BE(4, 26)],
    ["malformed-header", "a section more", (bytes) => void bytes.writeUInt16BE(6, 26)],
    ["malformed-header", "a first offset of 0", (bytes) => void bytes.writeBigUInt64BE(0n, 0x1c)],
    [
      "malformed-header",
      "a gap between sections",
      (bytes) => void bytes.writeBigUInt64BE(BigInt(at[1] ?? 0) + 1n, 0x1c + 8),
    ],
    [
      "malformed-header",
      "a size that ends early",
      (bytes) => void bytes.writeBigUInt64BE(30_002n, 0x11c + 8 * 4),
    ],
    [
      "malformed-header",
      "an offset behind the count",
      (bytes) => void bytes.writeBigUInt64BE(1n, 0x1c + 8 * 31),
    ],
    [
      "malformed-header",
      "a size behind the count",
      (bytes) => void bytes.writeBigUInt64BE(1n, 0x11c + 8 * 5),
    ],
    ["malformed-header", "bytes at the end", (bytes) => Buffer.concat([bytes, Buffer.from("x")])],
    [
      "truncated",
      "a size of 2^64 - 1",
      (bytes) => void bytes.writeBigUInt64BE(0xffff_ffff_ffff_ffffn, 0x11c + 8 * 4),
    ],
    ["truncated", "a byte less", (bytes) => bytes.subarray(0, bytes.length - 1)],
    ["truncated", "no sections at all", (bytes) => bytes.subarray(0, HEADER_BYTES)],
    ["truncated", "half a section header", (bytes) => bytes.subarray(0, (at[4] ?? 0) + 5)],
  ])("is refused as %s: %s", async (code, _what, change) => {
    await expect(reading(change)).rejects.toMatchObject({ code })
  })

  it("tells its default memory and vCPUs, which nothing checks", async () => {
    const eif = await reading((bytes) => {
      bytes.writeBigUInt64BE(0x1_0000_0000n, 8)
      bytes.writeBigUInt64BE(7n, 16)
      return undefined
    })
    expect(eif).toMatchObject({ defaultMemory: 0x1_0000_0000n, defaultCpus: 7n, isCrcRight: true })
  })

  it("may be of version 2 or 3, which need no metadata", async () => {
    for (const version of [2, 3]) {
      expect(await reading((bytes) => void bytes.writeUInt16BE(version, 4))).toMatchObject({
        version,
        isCrcRight: true,
      })
    }
  })
})

describe("a section", () => {
  /** Sets the type of the sections at the indexes. */
  const typed = (types: Record<number, number>) => (bytes: Buffer) => {
    for (const [index, type] of Object.entries(types)) {
      bytes.writeUInt16BE(type, at[Number(index)] ?? 0)
    }
    return undefined
  }
  it.each<[string, string, (bytes: Buffer) => Buffer | undefined]>([
    ["malformed-section", "type 0", typed({ 0: 0 })],
    ["malformed-section", "type 6", typed({ 4: 6 })],
    [
      "malformed-section",
      "another size than the header's",
      (bytes) => void bytes.writeBigUInt64BE(24n, (at[1] ?? 0) + 4),
    ],
    ["duplicate-section", "a second kernel", typed({ 1: 1 })],
    ["duplicate-section", "a second command line", typed({ 3: 2 })],
    ["duplicate-section", "second metadata", typed({ 3: 5 })],
    ["section-order", "the command line first", typed({ 0: 2, 1: 1 })],
    ["section-order", "a ramdisk before the kernel", typed({ 0: 3 })],
    ["section-order", "no command line before the ramdisk", typed({ 1: 4 })],
    [
      "malformed-metadata",
      "metadata that are no JSON",
      (bytes) => void bytes.write("!", (at[2] ?? 0) + SECTION_HEADER_BYTES),
    ],
    ["malformed-signature", "a signature that is no CBOR", typed({ 4: 4 })],
  ])("is refused as %s: %s", async (code, _what, change) => {
    await expect(reading(change)).rejects.toMatchObject({ code })
  })

  it("must be there", async () => {
    await expect(reading(typed({ 2: 3 }))).rejects.toMatchObject({ code: "missing-section" })
    // Cut after the metadata: no ramdisk.
    const cut = (bytes: Buffer) => {
      bytes.writeUInt16BE(3, 26)
      bytes.fill(0, 0x1c + 24, 0x1c + 40).fill(0, 0x11c + 24, 0x11c + 40)
      return bytes.subarray(0, at[3])
    }
    await expect(reading(cut)).rejects.toMatchObject({ code: "missing-section" })
  })
})

describe("a checksum", () => {
  it.each([
    ["its own bytes", 0x220],
    ["a reserved byte of the header", 0x21c],
    ["a section's flags", HEADER_BYTES + 3],
    ["the kernel", HEADER_BYTES + SECTION_HEADER_BYTES + 69_000],
  ])("is wrong after a change of %s", async (_what, offset) => {
    const flip = (bytes: Buffer) => {
      bytes.writeUInt8((bytes[offset] ?? 0) ^ 1, offset)
      return undefined
    }
    expect(await reading(flip, true)).toMatchObject({ isCrcRight: false })
  })
})

it("measures what is in the file, whatever its checksum says", async () => {
  const last = image.length - 1
  const flip = (bytes: Buffer) => void bytes.writeUInt8((bytes[last] ?? 0) ^ 1, last)
  const before = (await readEif(join(dir, "image.eif"))).measurements
  const after = (await reading(flip, true)).measurements
  expect(after.PCR0).not.toBe(before.PCR0)
  expect(after.PCR1).toBe(before.PCR1)
  expect(after.PCR2).not.toBe(before.PCR2)
})

it("names a file that cannot be read", async () => {
  for (const path of [join(dir, "absent"), dir]) {
    await expect(readEif(path)).rejects.toMatchObject({ code: "eif-unreadable" })
  }
})

it("refuses, for every length it may be cut to, without reading beyond", async () => {
  await writeFile(changed, image)
  for (let length = image.length - 1; length >= 0; length -= 997) {
    await truncate(changed, length)
    await expect(readEif(changed)).rejects.toMatchObject({
      code: expect.stringMatching(/^(truncated|not-an-eif)$/) as string,
    })
  }
})
