/** CBOR that somebody made to hurt: each form is refused as malformed-cbor, at once. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { decodeCbor, encodeCbor, MAX_CBOR_DEPTH } from "../../shared/cbor.js"
import { codeOf } from "./codes.js"

const bytes = (hex: string) => Buffer.from(hex, "hex")
const decoding = (input: Uint8Array) => () => decodeCbor(input)

describe("what is outside the subset", () => {
  it.each([
    ["no bytes", ""],
    ["an indefinite array", "9f01ff"],
    ["an indefinite map", "bf616101ff"],
    ["an indefinite byte string", "5f4101ff"],
    ["an indefinite text", "7f6161ff"],
    ["an indefinite array within", "81" + "9fff"],
    ["a lone break", "ff"],
    ["a break for an element", "81ff"],
    ["reserved info 28", "1c"],
    ["reserved info 29 of an array", "9d"],
    ["reserved info 30 of a map", "be"],
    ["tag 0, a date", "c074323031332d30332d32315432303a30343a30305a"],
    ["tag 2, a bignum", "c249010000000000000000"],
    ["tag 24", "d818456449455446"],
    ["tag 258, a set", "d9010281" + "01"],
    ["cbor-x's record tag", "d9dfff8301806161"],
    ["a tag inside", "82" + "01" + "c101"],
    ["a half float", "f93c00"],
    ["a single float", "fa47c35000"],
    ["a double", "fb3ff199999999999a"],
    ["NaN", "f97e00"],
    ["undefined", "f7"],
    ["undefined within", "81f7"],
    ["simple value 16", "f0"],
    ["simple value 255", "f8ff"],
    ["false in two bytes", "f814"],
    ["null in two bytes", "f816"],
    ["2^53", "1b0020000000000000"],
    ["2^64 - 1", "1bffffffffffffffff"],
    ["-2^53 - 1", "3b0020000000000000"],
    ["-2^64", "3bffffffffffffffff"],
    ["a key that is an integer", "a10101"],
    ["a key that is bytes", "a1416101"],
    ["a key that is an array", "a18001"],
    ["a key that is null", "a1f601"],
    ["a key given twice", "a2616101616102"],
    ["a key given twice in two spellings", "a261610178016102"],
    ["__proto__", "a1695f5f70726f746f5f5fa0"],
    ["constructor", "a16b636f6e7374727563746f7201"],
    ["prototype", "a16970726f746f7479706501"],
    ["__proto__ within", "8201a1695f5f70726f746f5f5fa0"],
    ["a lone continuation byte", "6180"],
    ["an overlong slash", "62c0af"],
    ["a surrogate", "63eda080"],
    ["beyond U+10FFFF", "64f4908080"],
    ["UTF-8 cut inside a character", "61c3"],
    ["a key that is not UTF-8", "a161ff01"],
    ["a second item", "0000"],
    ["an item behind the array", "8000"],
  ])("%s", (_name, hex) => {
    expect(codeOf(decoding(bytes(hex)))).toBe("malformed-cbor")
  })
})

describe("announced lengths", () => {
  const kinds = { bytes: 2, text: 3, array: 4, map: 5 }
  const lengths = ["ff", "ffff", "7fffffff", "ffffffff", "001fffffffffffff", "ffffffffffffffff"]
  const INFO = { 1: 24, 2: 25, 4: 26, 8: 27 } as const
  const heads = Object.entries(kinds).flatMap(([kind, major]) =>
    lengths.map((length): [string, string, Buffer] => {
      const info = INFO[(length.length / 2) as keyof typeof INFO]
      return [kind, length, Buffer.concat([Buffer.of((major << 5) | info), bytes(length)])]
    }),
  )

  it.each(heads)("refuses a %s of 0x%s without allocating it", (_kind, _length, head) => {
    const input = Buffer.concat([head, Buffer.alloc(16)])
    const before = process.memoryUsage()
    const start = process.hrtime.bigint()
    expect(codeOf(decoding(input))).toBe("malformed-cbor")
    expect(Number(process.hrtime.bigint() - start) / 1e6).toBeLessThan(5_000)
    expect(process.memoryUsage().rss - before.rss).toBeLessThan(16 << 20)
  })

  it("refuses a map that announces an entry more than there are bytes for", () => {
    expect(codeOf(decoding(bytes("a26161")))).toBe("malformed-cbor")
    expect(codeOf(decoding(bytes("a16161")))).toBe("malformed-cbor")
  })
})

describe("depth", () => {
  const nested = (levels: number) => Buffer.concat([Buffer.alloc(levels - 1, 0x81), bytes("80")])
  const maps = (levels: number) =>
    Buffer.concat([...Array.from({ length: levels - 1 }, () => bytes("a16161")), bytes("a0")])

  it(`takes ${MAX_CBOR_DEPTH} levels`, () => {
    expect(codeOf(decoding(nested(MAX_CBOR_DEPTH)))).toBe("no error")
    expect(codeOf(decoding(maps(MAX_CBOR_DEPTH)))).toBe("no error")
  })

  it.each([MAX_CBOR_DEPTH + 1, 100, 65_535])("refuses %i levels", (levels) => {
    expect(codeOf(decoding(nested(levels)))).toBe("malformed-cbor")
    expect(codeOf(decoding(maps(levels)))).toBe("malformed-cbor")
  })

  it("counts levels, not items", () => {
    const wide = Array.from({ length: 1000 }, () => [[1], { a: [2] }])
    expect(decodeCbor(encodeCbor(wide))).toEqual(wide)
  })
})

describe("a frame's worth of anything", () => {
  it("is decoded whole", () => {
    const payloads = [
      Buffer.concat([bytes("9a0000fff0"), Buffer.alloc(0xfff0, 0x00)]),
      Buffer.concat([bytes("9a0000fff0"), Buffer.alloc(0xfff0, 0x60)]),
      Buffer.concat([bytes("9a0000fff0"), Buffer.alloc(0xfff0, 0x80)]),
      Buffer.concat([bytes("5a0000fff0"), Buffer.alloc(0xfff0, 0xff)]),
      encodeCbor(Object.fromEntries(Array.from({ length: 8000 }, (_, i) => [`k${i}`, 0]))),
    ]
    for (const payload of payloads) {
      expect(encodeCbor(decodeCbor(payload)).length).toBeGreaterThanOrEqual(payload.length - 8)
    }
  })

  it("cut short at any byte is refused", () => {
    const whole = encodeCbor([7, "sign", Buffer.alloc(32, 1), { a: [1, -300, "ü"], b: null }, true])
    for (let length = 0; length < whole.length; length++) {
      expect(codeOf(decoding(whole.subarray(0, length))), `${length} bytes`).toBe("malformed-cbor")
    }
    expect(codeOf(decoding(whole))).toBe("no error")
  })

  it("leaves Object.prototype alone", () => {
    const hostile = [
      "a1695f5f70726f746f5f5fa168706f6c6c75746564f5",
      "a16b636f6e7374727563746f72a16970726f746f74797065a168706f6c6c75746564f5",
    ]
    for (const hex of hostile) expect(codeOf(decoding(bytes(hex)))).toBe("malformed-cbor")
    expect("polluted" in {}).toBe(false)
  })

  it("is decoded or refused as malformed-cbor, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200, size: "max" }), (input) => {
        expect(["no error", "malformed-cbor"]).toContain(codeOf(decoding(input)))
      }),
      { numRuns: 5000 },
    )
  })

  it("that is a good item with one byte changed is decoded or refused as malformed-cbor", () => {
    const good = encodeCbor([1, "login", { a: "label", b: [Buffer.alloc(5), -70_000] }, 2])
    for (let at = 0; at < good.length; at++) {
      for (let value = 0; value < 256; value++) {
        const changed = Buffer.from(good)
        changed[at] = value
        expect(["no error", "malformed-cbor"]).toContain(codeOf(decoding(changed)))
      }
    }
  })
})
