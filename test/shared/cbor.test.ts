/** The CBOR subset: bytes against RFC 8949's own examples, and values there and back. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type CborValue, cborInteger, decodeCbor, encodeCbor } from "../../shared/cbor.js"

const bytes = (hex: string) => Buffer.from(hex, "hex")

describe("bytes of RFC 8949, appendix A", () => {
  const both: [string, CborValue][] = [
    ["00", 0],
    ["17", 23],
    ["1818", 24],
    ["18ff", 255],
    ["190100", 256],
    ["1903e8", 1000],
    ["1a000f4240", 1_000_000],
    ["1affffffff", 0xffffffff],
    ["20", -1],
    ["3863", -100],
    ["3903e7", -1000],
    ["3a7fffffff", -0x80000000],
    ["f4", false],
    ["f5", true],
    ["f6", null],
    ["40", Buffer.alloc(0)],
    ["4401020304", bytes("01020304")],
    ["60", ""],
    ["6449455446", "IETF"],
    ["62c3bc", "ü"],
    ["63e6b0b4", "水"],
    ["64f0908591", "𐅑"],
    ["80", []],
    ["83010203", [1, 2, 3]],
    ["8301820203820405", [1, [2, 3], [4, 5]]],
    ["a0", {}],
    ["a26161016162820203", { a: 1, b: [2, 3] }],
    ["826161a161626163", ["a", { b: "c" }]],
  ]
  it.each(both)("%s", (hex, value) => {
    expect(encodeCbor(value).toString("hex")).toBe(hex)
    expect(decodeCbor(bytes(hex))).toEqual(value)
  })

  const wide: [string, number][] = [
    ["1b0000000100000000", 2 ** 32],
    ["1b000000e8d4a51000", 1_000_000_000_000],
    ["1b001fffffffffffff", Number.MAX_SAFE_INTEGER],
    ["3b001ffffffffffffe", Number.MIN_SAFE_INTEGER],
    ["3b0000000080000000", -0x80000001],
  ]
  it.each(wide)("%s, an integer beyond 32 bits, is a number again", (hex, value) => {
    expect(encodeCbor(cborInteger(value)).toString("hex")).toBe(hex)
    expect(decodeCbor(bytes(hex))).toBe(value)
  })

  it.each([
    ["1801", 1],
    ["190001", 1],
    ["1a00000001", 1],
    ["1b0000000000000001", 1],
    ["3800", -1],
    ["590003616263", Buffer.from("abc")],
    ["780161", "a"],
    ["9a0000000101", [1]],
    ["b900016161f6", { a: null }],
  ])("reads %s though a head is longer than it need be", (hex, value) => {
    expect(decodeCbor(bytes(hex))).toEqual(value)
  })
})

describe("values there and back", () => {
  const key = fc
    .string({ unit: "grapheme", maxLength: 40 })
    .filter((name) => !["__proto__", "constructor", "prototype"].includes(name))
  const { item } = fc.letrec<{ item: CborValue }>((tie) => ({
    item: fc.oneof(
      { depthSize: "small", maxDepth: 6 },
      fc.integer({ min: -0x80000000, max: 0xffffffff }),
      fc.maxSafeInteger().map(cborInteger),
      fc.string({ unit: "grapheme", maxLength: 300 }),
      fc.string({ unit: "binary", maxLength: 80 }),
      fc.boolean(),
      fc.constant(null),
      fc.uint8Array({ maxLength: 400 }).map((it) => Buffer.from(it)),
      fc.array(tie("item"), { maxLength: 30 }),
      fc.dictionary(key, tie("item"), { maxKeys: 30, noNullPrototype: true }),
    ),
  }))

  /** bigints come back as the numbers they are. */
  function asDecoded(value: CborValue): unknown {
    if (typeof value === "bigint") return Number(value)
    if (Array.isArray(value)) return value.map(asDecoded)
    if (value instanceof Uint8Array || typeof value !== "object" || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, it]) => [name, asDecoded(it)]))
  }

  it("are the same", () => {
    fc.assert(
      fc.property(item, (value) => {
        expect(decodeCbor(encodeCbor(value))).toEqual(asDecoded(value))
      }),
      { numRuns: 500 },
    )
  })

  it.each([0, 1, 31, 32, 255, 256, 1000, 65_000])("keeps texts and bytes of %i units", (length) => {
    const ascii = "a".repeat(length)
    const wide = "ж".repeat(length)
    const raw = Buffer.alloc(length, 0xff)
    expect(decodeCbor(encodeCbor([ascii, wide, raw]))).toEqual([ascii, wide, raw])
  })

  it.each(["\u{feff}", "\u{feff}label", "a\u{feff}", "\0", "\u{10ffff}"])("keeps %j", (text) => {
    expect(decodeCbor(encodeCbor(text))).toBe(text)
    expect(decodeCbor(encodeCbor({ [text]: text }))).toEqual({ [text]: text })
  })

  it("tells a key with a byte-order mark from one without", () => {
    const value = { "\u{feff}a": 1, a: 2 }
    expect(decodeCbor(encodeCbor(value))).toEqual(value)
  })

  it("keeps the order of keys", () => {
    const decoded = decodeCbor(encodeCbor({ z: 1, a: 2, m: 3 }))
    expect(Object.keys(decoded as object)).toEqual(["z", "a", "m"])
  })

  it("gives byte strings as views of the input", () => {
    const input = bytes("43010203")
    const decoded = decodeCbor(input) as Uint8Array
    input[1] = 9
    expect([...decoded]).toEqual([9, 2, 3])
  })

  it("reads an item from the middle of a larger buffer", () => {
    const around = Buffer.concat([bytes("ff"), encodeCbor(["a", 1]), bytes("ff")])
    expect(decodeCbor(around.subarray(1, -1))).toEqual(["a", 1])
  })
})
