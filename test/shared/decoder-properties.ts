/**
 * What must hold for anything that comes from the vsock, as properties that a test runs for a while
 * and `scripts/fuzz-frames.mjs` as long as it is told: bytes are decoded, or refused with a code.
 */
import { deepStrictEqual, ok } from "node:assert"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import fc from "fast-check"
import { GENERAL_POLICY } from "../../enclave/policy/general.js"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import type { SigningKey } from "../../native/addon/index.js"
import { type CborValue, decodeCbor, encodeCbor } from "../../shared/cbor.js"
import { encodeFrame, FrameDecoder, MAX_FRAME_BYTES } from "../../shared/frame.js"
import {
  activateSchema,
  decodeControlAnswer,
  decodeControlRequest,
  describeSchema,
  helloSchema,
  provisionSchema,
  refreshSchema,
  removeSchema,
  retireSchema,
} from "../../shared/protocol/control.js"
import {
  decodeOaepParameter,
  decodePssParameter,
  decodeSigningRequest,
  type SigningRequest,
} from "../../shared/protocol/signing.js"
import { codeOf } from "./codes.js"

export interface Seed {
  name: string
  /** One frame, header and payload. */
  frame: Buffer
}

/** Reads seeds: one frame in hex in each `*.hex` file. */
export function loadSeeds(folder: string): Seed[] {
  const files = readdirSync(folder).filter((file) => file.endsWith(".hex"))
  return files.sort().map((file) => ({
    name: file.slice(0, -".hex".length),
    frame: Buffer.from(readFileSync(join(folder, file), "utf8").replace(/\s+/g, ""), "hex"),
  }))
}

const FRAME_CODES = ["frame-too-large", "frame-empty", "frame-truncated"]
const PAYLOAD_CODES = ["no error", "malformed-cbor", "malformed-request", "unknown-op"]
const POLICY_CODES = [
  "no error",
  "mechanism-refused",
  "mechanism-param-refused",
  "data-refused",
  "data-len-range",
  "encrypted-data-len-range",
]
const POLICIES = [TLS_SERVER_POLICY, GENERAL_POLICY]
/** All that a policy looks at of a key. */
const KEYS = [
  { keyType: "RSA", bits: 2_048 },
  { keyType: "RSA", bits: 2_049 },
  { keyType: "EC", bits: 256 },
  { keyType: "Ed25519", bits: 255 },
] as unknown as readonly SigningKey[]

const CONTROL_SCHEMAS = {
  hello: helloSchema,
  describe: describeSchema,
  provision: provisionSchema,
  refresh: refreshSchema,
  remove: removeSchema,
  activate: activateSchema,
  retire: retireSchema,
  drain: describeSchema,
}

function oneOf(codes: readonly string[], work: () => unknown): void {
  const code = codeOf(work)
  ok(codes.includes(code), `an unforeseen code: ${code}`)
}

function checkPayload(payload: Buffer): void {
  oneOf(PAYLOAD_CODES, () => decodeControlAnswer(payload))
  oneOf(PAYLOAD_CODES, () => {
    const { op, fields } = decodeControlRequest(payload)
    CONTROL_SCHEMAS[op].safeParse(fields) // says no without throwing
  })
  oneOf(PAYLOAD_CODES, () => checkRequest(payload, decodeSigningRequest(payload)))
}

function checkRequest(payload: Buffer, request: SigningRequest): void {
  // What was understood is what was sent: it survives being written and read again.
  const item = decodeCbor(payload)
  deepStrictEqual(decodeSigningRequest(encodeCbor(item)), request)
  if (request.op !== "sign" && request.op !== "decrypt") return
  decodePssParameter(request.parameter)
  decodeOaepParameter(request.parameter)
  for (const policy of POLICIES) {
    for (const key of KEYS) {
      const ask = request.op === "sign" ? policy.admit : policy.admitDecrypt
      oneOf(POLICY_CODES, () => ask(key, request))
    }
  }
}

/** The payloads of a stream, and the code it ended with. */
function decodeStream(chunks: readonly Uint8Array[]): { payloads: Buffer[]; code: string } {
  const payloads: Buffer[] = []
  const code = codeOf(() => {
    const decoder = new FrameDecoder()
    for (const chunk of chunks) {
      for (const payload of decoder.push(chunk)) payloads.push(Buffer.from(payload))
    }
    decoder.end()
  })
  return { payloads, code }
}

function checkStream(chunks: readonly Uint8Array[]): void {
  const { payloads, code } = decodeStream(chunks)
  ok(code === "no error" || FRAME_CODES.includes(code), `an unforeseen code: ${code}`)
  for (const payload of payloads) {
    ok(payload.length >= 1 && payload.length <= MAX_FRAME_BYTES)
    checkPayload(payload)
  }
}

/** However a stream is cut, it says the same; only where it is broken may less of it come out. */
function checkCuts(bytes: Uint8Array, cuts: readonly number[]): void {
  const at = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  const chunks = at.map((end, i) => bytes.subarray(at[i - 1] ?? 0, end))
  const whole = decodeStream([bytes])
  const cut = decodeStream(chunks)
  deepStrictEqual(cut.code, whole.code)
  if (whole.code === "no error" || whole.code === "frame-truncated") {
    deepStrictEqual(cut.payloads, whole.payloads)
  }
}

const op = fc.constantFrom(
  ...["hello", "generation", "list", "login", "sign", "random", "decrypt"],
  ...["describe", "provision", "refresh", "remove", "x", "__proto__"],
)
const mechanism = fc.constantFrom(
  ...["RSA_PKCS", "RSA_PKCS_PSS", "RSA_PKCS_OAEP", "RSA_X_509", "ECDSA", "EDDSA", "toString"],
)
const hash = fc.constantFrom("SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512", "MD5", "toString")
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
  fc.constantFrom(...[0, 20, 32, 64, 256, 257].map((length) => Buffer.alloc(length))),
)
const scalar: fc.Arbitrary<CborValue> = fc.oneof(
  fc.integer({ min: -10, max: 0xffffffff }),
  fc.string({ maxLength: 20 }),
  bytes,
  mechanism,
  fc.constantFrom(null, true, false, [], {}),
)
const parameter: fc.Arbitrary<CborValue> = fc.oneof(
  fc.constant(null),
  fc.tuple(hash, fc.nat({ max: 300 })),
  fc.tuple(hash, hash, bytes),
  fc.array(scalar, { maxLength: 4 }),
  scalar,
)
/** CBOR that is almost a request. */
const almost = fc.oneof(
  fc
    .tuple(fc.oneof(fc.nat(), scalar), fc.oneof(op, scalar), fc.array(scalar, { maxLength: 5 }))
    .map(([id, name, fields]) => encodeCbor([id, name, ...fields])),
  fc
    .tuple(fc.nat(), fc.constantFrom("sign", "decrypt"), mechanism, bytes, parameter)
    .map(([id, name, by, data, with_]) =>
      encodeCbor([id, name, Buffer.alloc(32), by, data, with_]),
    ),
)

/** Heads that CBOR decoders have stumbled over: lengths without bytes, tags, floats, breaks. */
const HEADS = ["9f", "bf", "5f", "ff", "c0", "f97c00", "fb7ff0000000000000", "1b0020000000000000"]
  .concat(["5affffffff", "7affffffff", "9affffffff", "baffffffff", "9bffffffffffffffff", "f7"])
  .concat(["818181818181818181", "a16b636f6e7374727563746f7200", "a1695f5f70726f746f5f5f00"])
  .map((hex) => Buffer.from(hex, "hex"))

type Edit = (frame: Buffer) => Buffer
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.tuple(fc.nat(), fc.nat({ max: 255 })).map(([at, value]): Edit => {
    return (frame) => {
      const changed = Buffer.from(frame)
      if (changed.length > 0) changed[at % changed.length] = value
      return changed
    }
  }),
  fc.tuple(fc.nat(), fc.constantFrom(...HEADS)).map(([at, head]): Edit => {
    return (frame) => splice(frame, at, 0, head)
  }),
  fc.tuple(fc.nat(), fc.nat({ max: 40 }), fc.uint8Array({ maxLength: 8 })).map(
    ([at, remove, insert]): Edit =>
      (frame) =>
        splice(frame, at, remove, insert),
  ),
  fc.nat().map(
    (at): Edit =>
      (frame) =>
        frame.subarray(0, at % (frame.length + 1)),
  ),
)

function splice(frame: Buffer, at: number, remove: number, insert: Uint8Array): Buffer {
  const from = at % (frame.length + 1)
  return Buffer.concat([frame.subarray(0, from), insert, frame.subarray(from + remove)])
}

/** Gives the frame the length that its payload has now, so that the edit gets past the framing. */
function reframed(frame: Buffer): Buffer {
  return frame.length > 4 ? encodeFrame(frame.subarray(4)) : frame
}

/** The properties, by what they feed in. */
export function decoderProperties(
  seeds: readonly Seed[],
): Record<string, fc.IRawProperty<unknown>> {
  const edited = fc
    .tuple(
      fc.constantFrom(...seeds.map(({ frame }) => frame)),
      fc.array(edit, { minLength: 1, maxLength: 6 }),
      fc.boolean(),
    )
    .map(([frame, edits, fitLength]) => {
      const changed = edits.reduce((current, change) => change(current), frame)
      return fitLength ? reframed(changed) : changed
    })
  const changed = fc.tuple(almost, fc.nat(), fc.nat({ max: 255 })).map(([item, at, value]) => {
    item[at % item.length] = value
    return encodeFrame(item)
  })
  const stream = fc.array(fc.oneof(edited, almost.map(encodeFrame)), { maxLength: 4 })
  const properties = {
    "arbitrary bytes": fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), checkStream),
    "frames of arbitrary bytes": fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }).map(encodeFrame)),
      checkStream,
    ),
    "almost-requests": fc.property(fc.array(almost.map(encodeFrame)), checkStream),
    "almost-requests with a byte changed": fc.property(fc.array(changed), checkStream),
    "edited seeds": fc.property(edited, (frame) => checkStream([frame])),
    "streams cut anywhere": fc.property(stream, fc.array(fc.nat()), (frames, cuts) =>
      checkCuts(Buffer.concat(frames), cuts),
    ),
  }
  return properties as unknown as Record<string, fc.IRawProperty<unknown>>
}

/** What a seed is: the operation it asks for, or the code it is refused with. */
export function outcomeOf({ name, frame }: Seed): string {
  const decode = name.startsWith("control-") ? decodeControlRequest : decodeSigningRequest
  const { payloads, code } = decodeStream([frame])
  if (code !== "no error") return code
  const ops: string[] = []
  const refusal = codeOf(() => {
    for (const payload of payloads) ops.push(decode(payload).op)
  })
  return refusal === "no error" ? ops.join() : refusal
}
