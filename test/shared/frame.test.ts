/** Frames: any cut of the stream gives the same payloads; a bad header ends it. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { encodeFrame, FrameDecoder, MAX_FRAME_BYTES } from "../../shared/frame.js"
import { codeOf } from "./codes.js"

function decodeAll(chunks: Iterable<Uint8Array>): Buffer[] {
  const decoder = new FrameDecoder()
  const payloads = [...chunks].flatMap((chunk) => decoder.push(chunk))
  decoder.end()
  return payloads
}

const header = (length: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  return bytes
}

/** What is reachable, after a collection. */
function bytesInUse(): number {
  setFlagsFromString("--expose-gc")
  runInNewContext("gc")()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

describe("encodeFrame", () => {
  it("puts the length before the payload, big-endian", () => {
    expect(encodeFrame(Buffer.from("abc")).toString("hex")).toBe("00000003616263")
    expect(encodeFrame(Buffer.alloc(0x1234)).subarray(0, 4).toString("hex")).toBe("00001234")
  })

  it("takes 1 to 65536 bytes", () => {
    expect(encodeFrame(Buffer.alloc(1))).toHaveLength(5)
    expect(encodeFrame(Buffer.alloc(MAX_FRAME_BYTES))).toHaveLength(MAX_FRAME_BYTES + 4)
    expect(codeOf(() => encodeFrame(Buffer.alloc(MAX_FRAME_BYTES + 1)))).toBe("frame-too-large")
    expect(codeOf(() => encodeFrame(Buffer.alloc(0)))).toBe("frame-empty")
  })
})

describe("FrameDecoder", () => {
  const payloads = ["a", "bc", "x".repeat(300), "d"].map((text) => Buffer.from(text))
  const stream = Buffer.concat(payloads.map(encodeFrame))

  it("takes frames that arrive glued together", () => {
    expect(decodeAll([stream])).toEqual(payloads)
  })

  it("takes a stream byte by byte", () => {
    expect(decodeAll([...stream].map((byte) => Buffer.of(byte)))).toEqual(payloads)
  })

  it("takes a stream cut in two anywhere", () => {
    for (let at = 0; at <= stream.length; at++) {
      expect(decodeAll([stream.subarray(0, at), stream.subarray(at)]), `cut at ${at}`).toEqual(
        payloads,
      )
    }
  })

  it("takes the largest frame, whole and byte by byte", () => {
    const largest = Buffer.alloc(MAX_FRAME_BYTES, 7)
    const frame = encodeFrame(largest)
    expect(decodeAll([frame])).toEqual([largest])
    expect(decodeAll([...frame].map((byte) => Buffer.of(byte)))).toEqual([largest])
  })

  it("takes any frames in any pieces", () => {
    const pieces = fc.array(fc.integer({ min: 0, max: 900 }), { maxLength: 40 })
    const bodies = fc.array(fc.uint8Array({ minLength: 1, maxLength: 700 }), { maxLength: 12 })
    fc.assert(
      fc.property(bodies, pieces, (values, sizes) => {
        const whole = Buffer.concat(values.map(encodeFrame))
        const chunks: Buffer[] = []
        let at = 0
        for (const size of sizes) {
          chunks.push(whole.subarray(at, at + size))
          at += size
        }
        chunks.push(whole.subarray(at))
        expect(decodeAll(chunks).map((it) => it.toString("hex"))).toEqual(
          values.map((it) => Buffer.from(it).toString("hex")),
        )
      }),
    )
  })

  it("is not disturbed by a chunk that its owner reuses", () => {
    const decoder = new FrameDecoder()
    const chunk = Buffer.from(stream.subarray(0, 2))
    decoder.push(chunk)
    chunk.fill(0xff)
    const next = Buffer.from(stream.subarray(2, 4))
    decoder.push(next)
    next.fill(0xff)
    expect(decoder.push(stream.subarray(4))).toEqual(payloads)
  })

  it.each([MAX_FRAME_BYTES + 1, 0x7fffffff, 0xffffffff])(
    "refuses an announced length of %i as soon as it is read",
    (length) => {
      expect(codeOf(() => decodeAll([header(length)]))).toBe("frame-too-large")
      expect(codeOf(() => decodeAll([...header(length)].map((byte) => Buffer.of(byte))))).toBe(
        "frame-too-large",
      )
      const behind = Buffer.concat([encodeFrame(Buffer.from("good")), header(length)])
      expect(codeOf(() => decodeAll([behind]))).toBe("frame-too-large")
    },
  )

  it("refuses an empty frame", () => {
    expect(codeOf(() => decodeAll([header(0)]))).toBe("frame-empty")
    expect(codeOf(() => decodeAll([stream, header(0)]))).toBe("frame-empty")
  })

  it("says that a stream ended inside a frame, wherever", () => {
    const frame = encodeFrame(Buffer.from("abcd"))
    for (let length = 1; length < frame.length; length++) {
      expect(
        codeOf(() => decodeAll([frame.subarray(0, length)])),
        `${length}`,
      ).toBe("frame-truncated")
    }
    expect(codeOf(() => decodeAll([]))).toBe("no error")
    expect(codeOf(() => decodeAll([frame]))).toBe("no error")
  })

  it("holds no more than it was sent for one frame, however small the pieces", () => {
    const decoders = Array.from({ length: 20 }, () => new FrameDecoder())
    const before = bytesInUse()
    for (const decoder of decoders) {
      decoder.push(header(MAX_FRAME_BYTES))
      for (let i = 0; i < MAX_FRAME_BYTES - 1; i++) decoder.push(Buffer.of(1))
    }
    // Room to grow doubles it; an object kept for each byte would take a hundred times as much.
    expect(bytesInUse() - before).toBeLessThan(20 * 2 * MAX_FRAME_BYTES + (2 << 20))
    for (const decoder of decoders) expect(decoder.push(Buffer.of(1))).toHaveLength(1)
  })

  it("gives payloads or a frame's code for any bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }), (chunks) => {
        expect(["no error", "frame-too-large", "frame-empty", "frame-truncated"]).toContain(
          codeOf(() => decodeAll(chunks)),
        )
      }),
      { numRuns: 2000 },
    )
  })
})
