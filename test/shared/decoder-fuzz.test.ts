/** What comes from the vsock is decoded or refused with a code: nothing else gets out. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type CborValue, encodeCbor } from "../../shared/cbor.js"
import { encodeFrame, FrameDecoder } from "../../shared/frame.js"
import { decodeControlAnswer, decodeControlRequest } from "../../shared/protocol/control.js"
import { decodeSigningRequest } from "../../shared/protocol/signing.js"
import { codeOf } from "./codes.js"

const CODES = [
  "no error",
  "malformed-cbor",
  "malformed-request",
  "unknown-op",
  "frame-too-large",
  "frame-empty",
  "frame-truncated",
]

function decodeStream(chunks: readonly Uint8Array[]): void {
  const decoder = new FrameDecoder()
  for (const chunk of chunks) {
    for (const payload of decoder.push(chunk)) {
      for (const decode of [decodeSigningRequest, decodeControlRequest, decodeControlAnswer]) {
        expect(CODES).toContain(codeOf(() => decode(payload)))
      }
    }
  }
  decoder.end()
}

function survives(chunks: readonly Uint8Array[]): void {
  expect(CODES).toContain(codeOf(() => decodeStream(chunks)))
}

/** CBOR that is almost a request. */
const op = fc.constantFrom(
  ...["hello", "generation", "list", "login", "sign", "describe", "provision", "refresh", "x"],
)
const scalar: fc.Arbitrary<CborValue> = fc.oneof(
  fc.integer({ min: -10, max: 0xffffffff }),
  fc.string({ maxLength: 20 }),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom(null, true, false, Buffer.alloc(32), [], {}),
)
const almost = fc
  .tuple(fc.oneof(fc.nat(), scalar), fc.oneof(op, scalar), fc.array(scalar, { maxLength: 5 }))
  .map(([id, name, fields]) => encodeCbor([id, name, ...fields]))

describe("a hostile stream", () => {
  it("of arbitrary bytes", () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), survives), { numRuns: 2000 })
  })

  it("of frames of arbitrary bytes", () => {
    const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }).map(encodeFrame))
    fc.assert(fc.property(frames, survives), { numRuns: 2000 })
  })

  it("of almost-requests", () => {
    fc.assert(fc.property(fc.array(almost.map(encodeFrame)), survives), { numRuns: 2000 })
  })

  it("of almost-requests with a byte changed", () => {
    const changed = fc.tuple(almost, fc.nat(), fc.nat({ max: 255 })).map(([bytes, at, value]) => {
      bytes[at % bytes.length] = value
      return encodeFrame(bytes)
    })
    fc.assert(fc.property(fc.array(changed), survives), { numRuns: 2000 })
  })
})
