/** Messages of the signing service, byte for byte and field by field. */
import { describe, expect, it } from "vitest"
import { type CborValue, cborInteger, decodeCbor, encodeCbor } from "../../shared/cbor.js"
import { CodedError } from "../../shared/errors.js"
import {
  decodeOaepParameter,
  decodePssParameter,
  decodeSigningRequest,
  encodeListedToken,
  encodeSigningError,
  encodeSigningResult,
  HASH_BYTES,
  SigningRefusal,
} from "../../shared/protocol/signing.js"
import { SIGNING_STATUS, signingStatusName } from "../../shared/protocol/signing-status.js"

const FINGERPRINT = Buffer.alloc(32, 0xaa)
const DATA = Buffer.from("data")

function decode(message: CborValue) {
  return decodeSigningRequest(encodeCbor(message))
}

/** The refusal of a message, with the id that its answer would have. */
function refusalOf(payload: Uint8Array): { code: string; requestId?: number } {
  try {
    decodeSigningRequest(payload)
  } catch (error) {
    if (error instanceof SigningRefusal) return { code: error.code, requestId: error.requestId }
    if (error instanceof CodedError) return { code: error.code }
    throw error
  }
  return { code: "no error" }
}

describe("a request", () => {
  it.each<[CborValue, object]>([
    [[0, "hello", 1], { id: 0, op: "hello", version: 1 }],
    [[5, "hello", 0xffffffff], { id: 5, op: "hello", version: 0xffffffff }],
    [[0xffffffff, "generation"], { id: 0xffffffff, op: "generation" }],
    [[1, "list", 0], { id: 1, op: "list", offset: 0 }],
    [[1, "list", 0xffffffff], { id: 1, op: "list", offset: 0xffffffff }],
    [[2, "login", "www", "1234"], { id: 2, op: "login", label: "www", pin: "1234" }],
    [[2, "login", "", ""], { id: 2, op: "login", label: "", pin: "" }],
    [
      [3, "sign", FINGERPRINT, "ECDSA", DATA, null],
      {
        id: 3,
        op: "sign",
        fingerprint: FINGERPRINT,
        mechanism: "ECDSA",
        data: DATA,
        parameter: null,
      },
    ],
    [
      [3, "sign", FINGERPRINT, "", Buffer.alloc(0), ["SHA-256", 32]],
      { id: 3, op: "sign", mechanism: "", data: Buffer.alloc(0), parameter: ["SHA-256", 32] },
    ],
    [[4, "random", 1], { id: 4, op: "random", length: 1 }],
    [[4, "random", 1_024], { id: 4, op: "random", length: 1_024 }],
    [
      [5, "decrypt", FINGERPRINT, "RSA_PKCS_OAEP", DATA, ["SHA-256", "SHA-1", Buffer.of(7)]],
      {
        id: 5,
        op: "decrypt",
        fingerprint: FINGERPRINT,
        mechanism: "RSA_PKCS_OAEP",
        data: DATA,
        parameter: ["SHA-256", "SHA-1", Buffer.of(7)],
      },
    ],
  ])("%j", (message, request) => {
    expect(decode(message)).toMatchObject(request)
  })

  it("is these bytes", () => {
    const hex = `8603647369676e5820${"aa".repeat(32)}6545434453414464617461f6`
    expect(encodeCbor([3, "sign", FINGERPRINT, "ECDSA", DATA, null]).toString("hex")).toBe(hex)
    expect(decodeSigningRequest(Buffer.from(hex, "hex"))).toMatchObject({ id: 3, op: "sign" })
  })
})

describe("a malformed request", () => {
  it.each<[string, CborValue]>([
    ["no array", { id: 1 }],
    ["a text", "hello"],
    ["null", null],
    ["no elements", []],
    ["an id that is a text", ["1", "generation"]],
    ["an id below 0", [-1, "generation"]],
    ["an id of 2^32", [cborInteger(2 ** 32), "generation"]],
    ["no id", ["generation"]],
    ["an id that is null", [null, "generation"]],
  ])("with %s is answered as request 0", (_name, message) => {
    expect(refusalOf(encodeCbor(message))).toEqual({ code: "malformed-request", requestId: 0 })
  })

  it.each<[string, CborValue[]]>([
    ["no op", []],
    ["an op that is a number", [1]],
    ["an op that is bytes", [Buffer.from("hello")]],
    ["an op that is null", [null]],
    ["hello without version", ["hello"]],
    ["hello of version 0", ["hello", 0]],
    ["hello of version -1", ["hello", -1]],
    ["hello of version '1'", ["hello", "1"]],
    ["hello of version null", ["hello", null]],
    ["hello of version 2^32", ["hello", cborInteger(2 ** 32)]],
    ["hello with more", ["hello", 1, 1]],
    ["generation with more", ["generation", null]],
    ["list without offset", ["list"]],
    ["list from -1", ["list", -1]],
    ["list from null", ["list", null]],
    ["list from 2^32", ["list", cborInteger(2 ** 32)]],
    ["list with more", ["list", 0, 0]],
    ["login without PIN", ["login", "www"]],
    ["login with a PIN of bytes", ["login", "www", Buffer.from("1234")]],
    ["login with a PIN of digits", ["login", "www", 1234]],
    ["login with a label that is null", ["login", null, "1234"]],
    ["login with more", ["login", "www", "1234", ""]],
    ["random without length", ["random"]],
    ["random of nothing", ["random", 0]],
    ["random of 1025 bytes", ["random", 1_025]],
    ["random of -1 bytes", ["random", -1]],
    ["random of null", ["random", null]],
    ["random of a text", ["random", "32"]],
    ["random with more", ["random", 32, 32]],
    ["decrypt without parameter", ["decrypt", FINGERPRINT, "RSA_PKCS", DATA]],
    ["decrypt with more", ["decrypt", FINGERPRINT, "RSA_PKCS", DATA, null, null]],
    ["decrypt by a fingerprint of 31 bytes", ["decrypt", Buffer.alloc(31), "RSA_PKCS", DATA, null]],
    ["decrypt with a mechanism that is null", ["decrypt", FINGERPRINT, null, DATA, null]],
    ["decrypt of a text", ["decrypt", FINGERPRINT, "RSA_PKCS", "data", null]],
    ["sign without parameter", ["sign", FINGERPRINT, "ECDSA", DATA]],
    ["sign with more", ["sign", FINGERPRINT, "ECDSA", DATA, null, null]],
    ["sign with a fingerprint of 31 bytes", ["sign", FINGERPRINT.subarray(1), "ECDSA", DATA, null]],
    ["sign with a fingerprint of 33 bytes", ["sign", Buffer.alloc(33), "ECDSA", DATA, null]],
    ["sign with a fingerprint in hex", ["sign", "aa".repeat(32), "ECDSA", DATA, null]],
    ["sign with a fingerprint that is an array", ["sign", [...FINGERPRINT], "ECDSA", DATA, null]],
    ["sign with a mechanism that is a number", ["sign", FINGERPRINT, 0x1041, DATA, null]],
    ["sign with a mechanism that is null", ["sign", FINGERPRINT, null, DATA, null]],
    ["sign with data that is a text", ["sign", FINGERPRINT, "ECDSA", "data", null]],
    ["sign with data that is null", ["sign", FINGERPRINT, "ECDSA", null, null]],
  ])("%s keeps its id", (_name, rest) => {
    expect(refusalOf(encodeCbor([77, ...rest]))).toEqual({
      code: "malformed-request",
      requestId: 77,
    })
  })

  it.each(["", "verify", "Sign", "toString", "valueOf", "sign "])("of op %j is unknown", (op) => {
    expect(refusalOf(encodeCbor([77, op, 1, 2]))).toEqual({ code: "unknown-op", requestId: 77 })
  })

  it("that is no CBOR says so", () => {
    expect(refusalOf(Buffer.from("ff", "hex"))).toEqual({ code: "malformed-cbor" })
    expect(refusalOf(Buffer.from("8201", "hex"))).toEqual({ code: "malformed-cbor" })
  })
})

describe("decodePssParameter", () => {
  it.each(Object.keys(HASH_BYTES))("reads %s with any salt", (hash) => {
    for (const saltLength of [0, 32, 0xffff]) {
      expect(decodePssParameter([hash, saltLength])).toEqual({ hash, saltLength })
    }
  })

  it.each<[CborValue]>([
    [null],
    ["SHA-256"],
    [[]],
    [["SHA-256"]],
    [["SHA-256", 32, 0]],
    [["SHA-512/256", 32]],
    [["MD5", 16]],
    [["sha256", 32]],
    [["toString", 32]],
    [["constructor", 32]],
    [[null, 32]],
    [["SHA-256", -1]],
    [["SHA-256", null]],
    [["SHA-256", "32"]],
    [["SHA-256", 0x10000]],
    [{ hash: "SHA-256", saltLength: 32 }],
  ])("reads nothing from %j", (parameter) => {
    expect(decodePssParameter(parameter)).toBeUndefined()
  })
})

describe("decodeOaepParameter", () => {
  const label = Buffer.from("label")
  it("reads any pair of hashes with any label", () => {
    for (const hash of Object.keys(HASH_BYTES)) {
      for (const mgfHash of Object.keys(HASH_BYTES)) {
        expect(decodeOaepParameter([hash, mgfHash, label])).toEqual({ hash, mgfHash, label })
      }
    }
    const parameter = ["SHA-1", "SHA-1", Buffer.alloc(0)]
    expect(decodeOaepParameter(parameter)?.label).toHaveLength(0)
  })

  it.each<[CborValue]>([
    [null],
    ["SHA-256"],
    [[]],
    [["SHA-256", "SHA-256"]],
    [["SHA-256", "SHA-256", null]],
    [["SHA-256", "SHA-256", "label"]],
    [["SHA-256", "SHA-256", label, 0]],
    [["SHA-256", null, label]],
    [[null, "SHA-256", label]],
    [["MD5", "SHA-256", label]],
    [["SHA-256", "MD5", label]],
    [["toString", "SHA-256", label]],
    [["SHA-256", "constructor", label]],
    [["sha1", "SHA-256", label]],
    [{ hash: "SHA-256", mgfHash: "SHA-256", label }],
  ])("reads nothing from %j", (parameter) => {
    expect(decodeOaepParameter(parameter)).toBeUndefined()
  })
})

describe("an answer", () => {
  it("is id, 0 and the result", () => {
    expect(encodeSigningResult(7, null).toString("hex")).toBe("830700f6")
    expect(encodeSigningResult(7, Buffer.from([1, 2])).toString("hex")).toBe("830700420102")
  })

  it("of a refusal is id and status, nothing else", () => {
    expect(encodeSigningError(7, "busy").toString("hex")).toBe("82070e")
    expect(encodeSigningError(0xffffffff, "unknown-key").toString("hex")).toBe("821affffffff07")
  })

  it("shows a token with its end in seconds beyond 2038", () => {
    const token = {
      label: "www",
      certificates: [Buffer.from([1])],
      publicKey: Buffer.from([2]),
      mechanisms: ["ECDSA"],
      hashes: ["SHA-256"],
      decryptMechanisms: ["RSA_PKCS_OAEP"],
      furtherKeys: [
        {
          state: "next",
          publicKey: Buffer.from([3]),
          mechanisms: ["EDDSA"],
          hashes: [],
          decryptMechanisms: [],
        },
      ],
      expires: 5_000_000_000,
    } as const
    expect(decodeCbor(encodeCbor(encodeListedToken(token)))).toEqual(token)
  })
})

describe("signingStatusName", () => {
  it("names each status and nothing else", () => {
    for (const [name, status] of Object.entries(SIGNING_STATUS)) {
      expect(signingStatusName(status)).toBe(name)
    }
    for (const status of [-1, 18, 0.5, Number.NaN]) {
      expect(signingStatusName(status)).toBeUndefined()
    }
  })
})
