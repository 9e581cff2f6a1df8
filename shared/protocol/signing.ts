/**
 * Messages of the signing service: requests as the enclave reads them, answers as it writes them.
 * Written out by hand rather than by a schema library: `sign` is the hot path of every handshake.
 */
import { type CborValue, cborInteger, decodeCbor, encodeCbor } from "../cbor.js"
import { CodedError } from "../errors.js"
import { FINGERPRINT_BYTES, MAX_RANDOM_BYTES } from "./limits.js"
import { SIGNING_STATUS, type SigningErrorCode } from "./signing-status.js"

/** Mechanisms of `sign`; the usage policy says which of them a key has. */
export const MECHANISMS = ["RSA_PKCS", "RSA_PKCS_PSS", "ECDSA", "EDDSA", "RSA_X_509"] as const
export type MechanismName = (typeof MECHANISMS)[number]

/** Mechanisms of `decrypt`, likewise. */
export const DECRYPT_MECHANISMS = ["RSA_PKCS", "RSA_PKCS_OAEP", "RSA_X_509"] as const
export type DecryptMechanismName = (typeof DECRYPT_MECHANISMS)[number]

/** Hash functions of the protocol, with the length of their values in bytes. */
export const HASH_BYTES = {
  "SHA-1": 20,
  "SHA-224": 28,
  "SHA-256": 32,
  "SHA-384": 48,
  "SHA-512": 64,
} as const
export type HashName = keyof typeof HASH_BYTES

/** Parameter of RSA_PKCS_PSS; `hash` serves the message and MGF1, `saltLength` is in bytes. */
export interface PssParameter {
  hash: HashName
  saltLength: number
}

/** Parameter of RSA_PKCS_OAEP; `mgfHash` serves MGF1, `label` is L of RFC 8017, 7.1. */
export interface OaepParameter {
  hash: HashName
  mgfHash: HashName
  label: Uint8Array
}

/** A use of a private key, as it is asked for. */
interface KeyUse {
  /** SHA-256 of the key's DER SubjectPublicKeyInfo. */
  fingerprint: Uint8Array
  mechanism: string
  data: Uint8Array
  parameter: CborValue
}

export type SigningRequest = { id: number } & (
  | { op: "hello"; version: number }
  | { op: "generation" }
  | { op: "list"; offset: number }
  | { op: "login"; label: string; pin: string }
  | { op: "random"; length: number }
  | ({ op: "sign" | "decrypt" } & KeyUse)
)

/** A key as `list` shows it; see PROTOCOL.md. */
export interface ListedKey {
  /** DER SubjectPublicKeyInfo. */
  publicKey: Uint8Array
  mechanisms: readonly MechanismName[]
  /** Hash functions whose values, or DigestInfos, `sign` accepts for this key. */
  hashes: readonly HashName[]
  decryptMechanisms: readonly DecryptMechanismName[]
}

/** A token, its current key and those beside it. */
export interface ListedToken extends ListedKey {
  label: string
  /** DER, leaf first. */
  certificates: readonly Uint8Array[]
  /** One that a renewal is about to bring, and those that renewals have replaced. */
  furtherKeys: readonly (ListedKey & { state: "next" | "retiring" })[]
  /** Seconds since the epoch. */
  expires: number
}

/** A signing request refused: `code` is the status that goes back, `requestId` the request's. */
export class SigningRefusal extends CodedError<SigningErrorCode> {
  readonly requestId: number

  constructor(code: SigningErrorCode, message: string, requestId = 0) {
    super(code, message)
    this.requestId = requestId
  }
}

/**
 * Decodes one request.
 *
 * @throws CodedError `malformed-cbor` if the payload is not CBOR of the subset;
 *   {@link SigningRefusal} `malformed-request` or `unknown-op`, with the request's id if it has one.
 */
export function decodeSigningRequest(payload: Uint8Array): SigningRequest {
  const item = decodeCbor(payload)
  if (!Array.isArray(item)) throw new SigningRefusal("malformed-request", "not an array")
  const [id, op, ...fields] = item as CborValue[]
  if (!isUnsigned(id, 0xffff_ffff)) {
    throw new SigningRefusal("malformed-request", "requestId must be an unsigned 32-bit integer")
  }
  const malformed = (what: string): SigningRefusal =>
    new SigningRefusal("malformed-request", what, id)
  const expectFields = (count: number): void => {
    if (fields.length !== count) throw malformed(`${String(op)} takes ${count} fields`)
  }
  switch (op) {
    case "sign":
    case "decrypt": {
      expectFields(4)
      const [fingerprint, mechanism, data, parameter = null] = fields
      if (!(fingerprint instanceof Uint8Array) || fingerprint.length !== FINGERPRINT_BYTES) {
        throw malformed("fingerprint must be 32 bytes")
      }
      if (typeof mechanism !== "string") throw malformed("mechanism must be a text")
      if (!(data instanceof Uint8Array)) throw malformed("data must be bytes")
      return { id, op, fingerprint, mechanism, data, parameter }
    }
    case "login": {
      expectFields(2)
      const [label, pin] = fields
      if (typeof label !== "string" || typeof pin !== "string") {
        throw malformed("label and pin must be texts")
      }
      return { id, op, label, pin }
    }
    case "list": {
      expectFields(1)
      const [offset] = fields
      if (!isUnsigned(offset, 0xffff_ffff)) throw malformed("offset must be an unsigned integer")
      return { id, op, offset }
    }
    case "random": {
      expectFields(1)
      const [length] = fields
      if (!isUnsigned(length, MAX_RANDOM_BYTES) || length === 0) {
        throw malformed(`length must be an integer from 1 to ${MAX_RANDOM_BYTES}`)
      }
      return { id, op, length }
    }
    case "generation":
      expectFields(0)
      return { id, op }
    case "hello": {
      expectFields(1)
      const [version] = fields
      if (!isUnsigned(version, 0xffff_ffff) || version === 0) {
        throw malformed("version must be a positive integer")
      }
      return { id, op, version }
    }
    default:
      if (typeof op !== "string") throw malformed("op must be a text")
      throw new SigningRefusal("unknown-op", "no such operation", id)
  }
}

/**
 * Reads the parameter of RSA_PKCS_PSS.
 *
 * @returns undefined unless it is `[hash, saltLength]` with a hash of {@link HASH_BYTES}.
 */
export function decodePssParameter(parameter: CborValue): PssParameter | undefined {
  if (!Array.isArray(parameter) || parameter.length !== 2) return undefined
  const [hash, saltLength] = parameter as CborValue[]
  if (!isHashName(hash) || !isUnsigned(saltLength, 0xffff)) return undefined
  return { hash, saltLength }
}

/**
 * Reads the parameter of RSA_PKCS_OAEP.
 *
 * @returns undefined unless it is `[hash, mgfHash, label]` with hashes of {@link HASH_BYTES} and a
 *   label of bytes.
 */
export function decodeOaepParameter(parameter: CborValue): OaepParameter | undefined {
  if (!Array.isArray(parameter) || parameter.length !== 3) return undefined
  const [hash, mgfHash, label] = parameter as CborValue[]
  if (!isHashName(hash) || !isHashName(mgfHash) || !(label instanceof Uint8Array)) return undefined
  return { hash, mgfHash, label }
}

/** The answer to a request that was served. */
export function encodeSigningResult(id: number, result: CborValue): Buffer {
  return encodeCbor([id, SIGNING_STATUS.ok, result])
}

/** The answer to a request that was refused: the code is all that travels. */
export function encodeSigningError(id: number, code: SigningErrorCode): Buffer {
  return encodeCbor([id, SIGNING_STATUS[code]])
}

/** A token in the form of `list`. */
export function encodeListedToken(token: ListedToken): CborValue {
  return {
    label: token.label,
    certificates: token.certificates,
    ...encodeListedKey(token),
    furtherKeys: token.furtherKeys.map((key) => ({ state: key.state, ...encodeListedKey(key) })),
    expires: cborInteger(token.expires),
  }
}

function encodeListedKey(key: ListedKey): Readonly<Record<string, CborValue>> {
  return {
    publicKey: key.publicKey,
    mechanisms: key.mechanisms,
    hashes: key.hashes,
    decryptMechanisms: key.decryptMechanisms,
  }
}

function isUnsigned(value: CborValue | undefined, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max
}

function isHashName(value: CborValue | undefined): value is HashName {
  return typeof value === "string" && Object.hasOwn(HASH_BYTES, value)
}
