/** Documents damaged at the level of bytes: truncated, flipped, made up. Refused, and by a code. */
import { Encoder } from "cbor-x"
import fc from "fast-check"
import { beforeAll, describe, expect, test } from "vitest"
import { decodeNsmCbor, MAX_NSM_CBOR_DEPTH } from "../../shared/attestation/cbor.js"
import {
  decodeUnverifiedAttestationDocument,
  verifyAttestationDocument,
} from "../../shared/attestation/index.js"
import { refusalCode } from "./codes.js"
import { type ForgedPath, forgeDocument, forgePath, NOW } from "./forge.js"

let path: ForgedPath
let document: Buffer

beforeAll(async () => {
  path = await forgePath()
  document = await forgeDocument(path, {}, "indefinite")
})

const codeOf = (bytes: Uint8Array) =>
  refusalCode(() =>
    verifyAttestationDocument(bytes, { now: NOW, rootFingerprint: path.rootFingerprint }),
  )

describe("a document", () => {
  test("truncated at any byte is malformed", () => {
    for (let length = 0; length < document.length; length++) {
      expect(codeOf(document.subarray(0, length))).toBe("malformed-document")
    }
  })

  test("with any one bit flipped is refused: nothing in it is free", { timeout: 240_000 }, () => {
    const codes = new Set<string>()
    for (const bit of bitsToFlip()) {
      const flipped = Buffer.from(document)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      codes.add(codeOf(flipped))
    }
    expect(codes).not.toContain("accepted")
    // One flip reaches every stage up to the signature, which stops it if nothing before did.
    expect(codes).toContain("malformed-document")
    expect(codes).toContain("unsupported-algorithm")
    expect(codes).toContain("untrusted-root")
    expect(codes).toContain("invalid-chain")
    expect(codes).toContain("invalid-signature")
  })

  /** Every bit of the envelope and the signature, and one of each byte between, in turn. */
  function* bitsToFlip(): Generator<number> {
    for (let at = 0; at < document.length; at++) {
      const whole = at < 64 || at >= document.length - 128
      for (let bit = 0; bit < 8; bit++) if (whole || bit === at % 8) yield at * 8 + bit
    }
  }

  test("may have its envelope written with longer heads, which is outside what is signed", () => {
    // 84 44 a1013822 a0 59 <2 bytes> → the payload's length in four bytes instead of two.
    expect(document.subarray(0, 8).toString("hex")).toBe("8444a1013822a059")
    const length = Buffer.alloc(5, 0x5a)
    length.writeUInt32BE(document.readUInt16BE(8), 1)
    const longer = Buffer.concat([document.subarray(0, 7), length, document.subarray(10)])
    expect(codeOf(longer)).toBe("accepted")
    const indefinite = Buffer.concat([Buffer.of(0x9f), document.subarray(1), Buffer.of(0xff)])
    expect(codeOf(indefinite)).toBe("accepted")
  })

  test("with bytes overwritten anywhere is refused by a code", () => {
    fc.assert(
      fc.property(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 16 }), (place, patch) => {
        const at = place % (document.length - patch.length)
        const patched = Buffer.from(document)
        patched.set(patch, at)
        fc.pre(!patched.equals(document))
        expect(codeOf(patched)).not.toBe("accepted")
      }),
      { numRuns: 1000 },
    )
  })

  test("of random bytes is refused by a code", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(codeOf(bytes)).toMatch(/^(malformed-document|unsupported-algorithm)$/)
      }),
      { numRuns: 2000 },
    )
  })

  test("with a random payload is refused by a code", () => {
    const envelope = document.subarray(0, 7)
    const signature = document.subarray(-98)
    fc.assert(
      fc.property(cborItem, (item) => {
        const payload = coder.encode(item)
        const head = Buffer.alloc(3, 0x59)
        head.writeUInt16BE(payload.length, 1)
        const bytes = Buffer.concat([envelope, head, payload, signature])
        expect(refusalCode(() => decodeUnverifiedAttestationDocument(bytes))).toBe(
          "malformed-document",
        )
      }),
    )
  })
})

const coder = new Encoder({
  useRecords: false,
  mapsAsObjects: false,
  variableMapSize: true,
  tagUint8Array: false,
})

/** Any value of the NSM's CBOR, at most five levels deep. */
const { cborItem } = fc.letrec((tie) => ({
  cborItem: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.integer({ min: -0x8000_0000, max: 0xffff_ffff }),
    fc.string({ unit: "grapheme" }),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array(),
    fc.array(tie("cborItem"), { maxLength: 30 }),
    fc
      .array(fc.tuple(fc.oneof(fc.integer({ min: -100, max: 1000 }), fc.string()), tie("cborItem")))
      .map((entries) => new Map(entries)),
  ),
}))

describe("the CBOR reader", () => {
  test("reads what an independent encoder writes", () => {
    fc.assert(
      fc.property(cborItem, (item) => {
        expect(decodeNsmCbor(coder.encode(item))).toEqual(item)
      }),
    )
  })

  test("copies byte strings out of Buffers too", () => {
    const input = Buffer.from("43010203", "hex")
    const value = decodeNsmCbor(input)
    input.fill(0)
    expect(value).toEqual(Uint8Array.of(1, 2, 3))
  })

  test.each([
    ["1bffffffffffffffff", "an integer beyond 53 bits"],
    ["3b001fffffffffffff", "a negative integer beyond 53 bits"],
    ["5b0000000100000000", "a byte string of an announced 4 GiB"],
    ["5affffffff00", "a byte string longer than the input"],
    ["7affffffff61", "a text longer than the input"],
    ["9b001fffffffffffff", "an array of 2^53 - 1 elements"],
    ["9affffffff00", "an array of 2^32 - 1 elements"],
    ["bb001fffffffffffff", "a map of 2^53 - 1 entries"],
    ["baffffffff0000", "a map of 2^32 - 1 entries"],
    ["9f", "an array that does not end"],
    ["9f00", "an array with an element that does not end"],
    ["bf00ff", "a map that ends after a key"],
    ["bf", "a map that does not end"],
    ["ff", "a break outside anything"],
    ["81ff", "a break in a definite array"],
    ["a100ff", "a break as a value"],
    ["5f4100ff", "a byte string in chunks"],
    ["7f6161ff", "a text in chunks"],
    ["1f", "an integer of indefinite length"],
    ["df00", "a tag of indefinite length"],
    ["1c", "a reserved head"],
    ["5d", "a reserved length"],
    ["c000", "a tag"],
    ["c249010000000000000000", "a bignum"],
    ["d81800", "a long tag"],
    ["f7", "undefined"],
    ["e0", "simple value 0"],
    ["f820", "simple value 32"],
    ["f814", "false in two bytes"],
    ["f93c00", "a half float"],
    ["fa3f800000", "a float"],
    ["fb3ff0000000000000", "a double"],
    ["61ff", "a text that is not UTF-8"],
    ["62c080", "an overlong UTF-8 sequence"],
    ["63eda080", "a surrogate in UTF-8"],
    ["a200000000", "a key given twice"],
    ["a20000180000", "a key given twice, in two lengths"],
    ["a2616100616100", "a text key given twice"],
    ["a1f600", "a null key"],
    ["a1f500", "a key of true"],
    ["a1410000", "a key of bytes"],
    ["a18000", "a key of an array"],
    ["a1a000", "a key of a map"],
    ["0000", "two items"],
    ["", "nothing"],
    ["19", "a head cut short"],
    ["1900", "an argument cut short"],
  ])("refuses %s: %s", (hex) => {
    expect(refusalCode(() => decodeNsmCbor(Buffer.from(hex, "hex")))).toBe("malformed-cbor")
  })

  test("reads so deep and no deeper, however deep the input is", () => {
    const nested = (depth: number) => Buffer.from(`${"81".repeat(depth)}00`, "hex")
    expect(refusalCode(() => decodeNsmCbor(nested(MAX_NSM_CBOR_DEPTH)))).toBe("accepted")
    expect(refusalCode(() => decodeNsmCbor(nested(MAX_NSM_CBOR_DEPTH + 1)))).toBe("malformed-cbor")
    for (const open of [0x81, 0x9f, 0xa1, 0xbf]) {
      const bytes = Buffer.alloc(100_000, open)
      expect(refusalCode(() => decodeNsmCbor(bytes))).toBe("malformed-cbor")
    }
  })

  test("keeps text as it is, a byte order mark included", () => {
    expect(decodeNsmCbor(Buffer.from("63efbbbf", "hex"))).toBe("\ufeff")
  })
})
