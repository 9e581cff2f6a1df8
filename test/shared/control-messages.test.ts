/** Messages of the control service: the envelope, and what each field may be. */
import { describe, expect, it } from "vitest"
import type { z } from "zod"
import { type CborValue, cborInteger, decodeCbor, encodeCbor } from "../../shared/cbor.js"
import {
  CONTROL_OPS,
  ControlError,
  credentialsSchema,
  decodeControlAnswer,
  decodeControlRequest,
  enclaveDescriptionSchema,
  encodeControlError,
  encodeControlRequest,
  encodeControlResult,
  helloSchema,
  provisionSchema,
  refreshSchema,
  removeSchema,
} from "../../shared/protocol/control.js"
import {
  CONTROL_CODES,
  DENIAL_CONTROL_CODES,
  isControlCode,
  PASSING_CONTROL_CODES,
} from "../../shared/protocol/control-codes.js"
import { codeOf } from "./codes.js"

const KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/0f0e0d0c-1111-2222-3333-444455556666"
const CREDENTIALS = {
  accessKeyId: "ASIAXXXXXXXXXXXXXXXX",
  secretAccessKey: "secret",
  sessionToken: "token",
}
const PROVISION = {
  label: "www",
  pin: "1234",
  certificates: [Buffer.from([0x30])],
  encryptedPrivateKey: Buffer.from([1]),
  keyId: KEY_ARN,
  region: "us-east-1",
  credentials: CREDENTIALS,
  encryptionContext: { a: "b" },
}

describe("a request", () => {
  it.each(CONTROL_OPS)("%s is read with and without fields", (op) => {
    expect(decodeControlRequest(encodeControlRequest(9, op))).toEqual({ id: 9, op, fields: {} })
    const fields = { label: "x", bytes: Buffer.from([1]) }
    expect(decodeControlRequest(encodeControlRequest(9, op, fields))).toEqual({ id: 9, op, fields })
  })

  it.each<[string, CborValue]>([
    ["no array", { id: 1 }],
    ["no elements", []],
    ["no op", [1]],
    ["an id below 0", [-1, "describe"]],
    ["an id of 2^32", [cborInteger(2 ** 32), "describe"]],
    ["an id that is a text", ["1", "describe"]],
    ["an op that is a number", [1, 2]],
    ["fields that are an array", [1, "describe", []]],
    ["fields that are bytes", [1, "describe", Buffer.from([1])]],
    ["fields that are null", [1, "describe", null]],
    ["fields that are a text", [1, "describe", "x"]],
    ["a fourth element", [1, "describe", {}, {}]],
  ])("with %s is malformed", (_name, message) => {
    expect(codeOf(() => decodeControlRequest(encodeCbor(message)))).toBe("malformed-request")
  })

  it.each(["", "Hello", "toString", "provision "])("%j is an unknown op with its id", (op) => {
    const decoding = () => decodeControlRequest(encodeCbor([9, op]))
    expect(decoding).toThrow(expect.objectContaining({ code: "unknown-op", requestId: 9 }))
  })

  it("that is no CBOR says so", () => {
    expect(codeOf(() => decodeControlRequest(Buffer.from("ff", "hex")))).toBe("malformed-cbor")
  })
})

describe("the fields of", () => {
  const fits = (schema: z.ZodType, value: unknown) => schema.safeParse(value).success

  it("hello", () => {
    const secret = Buffer.alloc(32)
    expect(fits(helloSchema, { version: 1, secret })).toBe(true)
    expect(fits(helloSchema, { version: 2, secret })).toBe(true)
    for (const version of [0, -1, 1.5, "1", null]) {
      expect(fits(helloSchema, { version, secret })).toBe(false)
    }
    for (const other of [Buffer.alloc(31), Buffer.alloc(33), "x".repeat(32), null, undefined]) {
      expect(fits(helloSchema, { version: 1, secret: other })).toBe(false)
    }
    expect(fits(helloSchema, { version: 1, secret, more: 1 })).toBe(false)
  })

  it("provision", () => {
    expect(fits(provisionSchema, PROVISION)).toBe(true)
    const nulls = { keyId: null, encryptionContext: null }
    expect(fits(provisionSchema, { ...PROVISION, ...nulls })).toBe(true)
    for (const field of Object.keys(PROVISION)) {
      const { [field as keyof typeof PROVISION]: _missing, ...rest } = PROVISION
      expect(fits(provisionSchema, rest), `without ${field}`).toBe(false)
    }
    expect(fits(provisionSchema, { ...PROVISION, more: 1 })).toBe(false)
  })

  const byte = (length: number) => Buffer.alloc(length, 1)
  const context = (key: string, value: unknown) => ({ [key]: value })
  it.each<[string, unknown[], unknown[]]>([
    [
      "label",
      ["a", "x".repeat(32), "é".repeat(16), "with space", "日本語"],
      ["", "x".repeat(33), "é".repeat(17), "a\0", "a\nb", "\x7f", null, 1, byte(3)],
    ],
    [
      "pin",
      ["1234", "x".repeat(64), "пин-код"],
      ["123", "x".repeat(65), "123\n", "1234\0", 1234, null, byte(4)],
    ],
    [
      "certificates",
      [[byte(1)], [byte(8192)], Array.from({ length: 10 }, () => byte(1))],
      [
        [],
        [byte(0)],
        [byte(8193)],
        Array.from({ length: 11 }, () => byte(1)),
        byte(9),
        ["x"],
        null,
      ],
    ],
    ["encryptedPrivateKey", [byte(1), byte(6144)], [byte(0), byte(6145), "x", null]],
    [
      "keyId",
      [
        KEY_ARN,
        null,
        "arn:aws:kms:us-east-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef",
        "arn:aws-cn:kms:cn-north-1:123456789012:key/a",
        "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/a",
      ],
      [
        "",
        "alias/x",
        "0f0e0d0c-1111-2222-3333-444455556666",
        "arn:aws:kms:us-east-1:123456789012:alias/x",
        "arn:aws:kms:us-east-1:12345678901:key/a",
        "arn:aws:kms:evil.example#:123456789012:key/a",
        "arn:aws:kms::123456789012:key/a",
        "arn:aws:s3:us-east-1:123456789012:key/a",
        "arn:aws-evil:kms:us-east-1:123456789012:key/a",
        `${KEY_ARN}\n`,
        ` ${KEY_ARN}`,
        `${KEY_ARN}/x`,
        1,
      ],
    ],
    [
      "region",
      ["us-east-1", "us-gov-west-1", "ap-southeast-12", "cn-north-1", "eusc-de-east-1"],
      [
        "",
        "us-east",
        "us-east-1.evil.example/",
        "us-east-1\n",
        "US-EAST-1",
        "us-east-1#",
        "../us-east-1",
        "us-east-1@x",
        null,
      ],
    ],
    [
      "encryptionContext",
      [{}, null, context("k", ""), context("x".repeat(256), "y".repeat(1024))],
      [[], "x", context("k", 1), context("x".repeat(257), ""), context("k", "y".repeat(1025))],
    ],
  ])("provision, %s", (field, good, bad) => {
    for (const value of good) {
      expect(fits(provisionSchema, { ...PROVISION, [field]: value }), String(value)).toBe(true)
    }
    for (const value of bad) {
      expect(fits(provisionSchema, { ...PROVISION, [field]: value }), String(value)).toBe(false)
    }
  })

  it("credentials", () => {
    expect(fits(credentialsSchema, CREDENTIALS)).toBe(true)
    expect(fits(credentialsSchema, { ...CREDENTIALS, sessionToken: null })).toBe(true)
    const bad = [
      { accessKeyId: "short" },
      { accessKeyId: "A".repeat(129) },
      { secretAccessKey: "" },
      { secretAccessKey: "s".repeat(257) },
      { sessionToken: "t".repeat(8193) },
      { sessionToken: undefined },
      { more: "x" },
    ]
    for (const change of bad) {
      expect(fits(credentialsSchema, { ...CREDENTIALS, ...change }), JSON.stringify(change)).toBe(
        false,
      )
    }
  })

  it("refresh and remove", () => {
    expect(fits(refreshSchema, { label: "www", credentials: CREDENTIALS })).toBe(true)
    expect(fits(refreshSchema, { label: "www" })).toBe(false)
    expect(fits(refreshSchema, { label: "", credentials: CREDENTIALS })).toBe(false)
    expect(fits(removeSchema, { label: "www" })).toBe(true)
    expect(fits(removeSchema, { label: "www", pin: "1234" })).toBe(false)
    expect(fits(removeSchema, {})).toBe(false)
  })
})

describe("an answer", () => {
  it("brings its result, times in milliseconds included", () => {
    const description = {
      version: "0.1.0",
      moduleId: "i-0-enc0",
      pcrs: { 0: "00", 15: "ff" },
      debug: false,
      phase: "claimed",
      policy: "tls-server",
      bootedAt: 1_790_000_000_000,
      now: 1_790_000_000_001,
      generation: 1_790_000_000_002,
      connections: { open: 2, accepted: 5_000_000_000 },
      latency: { bounds: [50, 1_000], counts: [3, 4], count: 5, sum: 5_000_000_000 },
      draining: false,
      tokens: [
        {
          label: "www",
          fingerprint: "aa",
          certificateFingerprint: "bb",
          keyType: "P-256",
          keyId: KEY_ARN,
          attestedAt: 1_790_000_000_000,
          expiresAt: 1_790_172_800_000,
          nextFingerprint: null,
          retiringFingerprints: [],
          signatures: { ECDSA: 5_000_000_000 },
          refusals: 0,
          failures: 0,
        },
      ],
    }
    const answer = decodeControlAnswer(encodeControlResult(3, description))
    expect(answer).toEqual({ id: 3, result: description })
    if ("result" in answer) {
      expect(enclaveDescriptionSchema.parse(answer.result)).toEqual(description)
    }
    expect(decodeControlAnswer(encodeControlResult(3, null))).toEqual({ id: 3, result: null })
    expect(decodeControlAnswer(encodeControlResult(3, undefined))).toEqual({ id: 3, result: null })
  })

  it("brings a refusal: code and detail, never the sentence or the cause", () => {
    const detail = { exception: "AccessDeniedException" }
    const error = new ControlError("kms-access-denied", "sentence", {
      detail,
      requestId: 5,
      cause: new Error("cause"),
    })
    const bytes = encodeControlError(error)
    expect(decodeControlAnswer(bytes)).toEqual({ id: 5, code: "kms-access-denied", detail })
    expect(decodeCbor(bytes)).toEqual([5, "kms-access-denied", detail])
    const plain = encodeControlError(new ControlError("busy", ""))
    expect(decodeControlAnswer(plain)).toEqual({ id: 0, code: "busy", detail: {} })
  })

  it("of a newer service's code is internal", () => {
    for (const code of ["kms-on-fire", "toString", "__proto__"]) {
      expect(decodeControlAnswer(encodeCbor([5, code, {}]))).toMatchObject({ code: "internal" })
    }
  })

  it.each<[CborValue]>([
    [null],
    [[]],
    [[1, 0]],
    [[1, 1, null]],
    [[1, "busy"]],
    [[1, "busy", { a: 1 }]],
    [[1, "busy", null]],
    [[-1, 0, null]],
    [["1", 0, null]],
    [[1, 0, null, null]],
  ])("%j is malformed", (message) => {
    expect(codeOf(() => decodeControlAnswer(encodeCbor(message)))).toBe("malformed-request")
  })
})

describe("control codes", () => {
  it("are those of the table, and none of Object's", () => {
    for (const code of Object.keys(CONTROL_CODES)) expect(isControlCode(code)).toBe(true)
    for (const other of ["toString", "constructor", "", 0, null, undefined]) {
      expect(isControlCode(other)).toBe(false)
    }
  })

  it("that pass and those that deny are codes, and not the same", () => {
    for (const code of [...PASSING_CONTROL_CODES, ...DENIAL_CONTROL_CODES]) {
      expect(isControlCode(code)).toBe(true)
    }
    for (const code of DENIAL_CONTROL_CODES) expect(PASSING_CONTROL_CODES.has(code)).toBe(false)
  })
})
