/** COSE_Sign1 with ES384, the one form of COSE that the Nitro Secure Module writes. */
import { type KeyObject, verify } from "node:crypto"
import { encodeCbor } from "../cbor.js"
import { decodeNsmCbor, type NsmCborValue } from "./cbor.js"
import { AttestationError } from "./errors.js"

/** Largest document read, in bytes; the NSM's own response buffer is 12 KiB. */
export const MAX_DOCUMENT_BYTES = 16_384
/** The encoded protected header `{1: -35}`: algorithm ES384 (RFC 9053 §2.1). */
const PROTECTED_ES384 = Uint8Array.of(0xa1, 0x01, 0x38, 0x22)
/** The initial byte of tag 18, which may precede a COSE_Sign1 (RFC 9052 §2). */
const TAG_COSE_SIGN1 = 0xd2
/** r‖s on P-384. */
const SIGNATURE_BYTES = 96

/** The parts of a COSE_Sign1 that its signature is about. */
export interface CoseSign1 {
  /** Encoded protected header. */
  protectedHeader: Uint8Array
  payload: Uint8Array
  /** r‖s, 96 bytes. */
  signature: Uint8Array
}

/**
 * Takes a COSE_Sign1 apart, tagged or untagged, without verifying its signature.
 *
 * @throws {@link AttestationError} `malformed-document`; `unsupported-algorithm` for a protected
 *   header that is not exactly ES384.
 * @see RFC 9052 §4.2
 */
export function decodeUnverifiedCoseSign1(bytes: Uint8Array): CoseSign1 {
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw malformed(`${bytes.length} bytes, at most ${MAX_DOCUMENT_BYTES} are read`)
  }
  const parts = decodeOrRefuse(bytes[0] === TAG_COSE_SIGN1 ? bytes.subarray(1) : bytes)
  if (!Array.isArray(parts) || parts.length !== 4) throw malformed("not an array of four")
  const [protectedHeader, unprotected, payload, signature] = parts
  if (!(protectedHeader instanceof Uint8Array)) throw malformed("no protected header")
  if (Buffer.compare(protectedHeader, PROTECTED_ES384) !== 0) {
    throw new AttestationError("unsupported-algorithm", "the COSE protected header is not ES384")
  }
  if (!(unprotected instanceof Map) || unprotected.size !== 0) {
    throw malformed("an unprotected header that is not empty")
  }
  if (!(payload instanceof Uint8Array)) throw malformed("no payload")
  if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_BYTES) {
    throw malformed(`a signature that is not ${SIGNATURE_BYTES} bytes`)
  }
  return { protectedHeader, payload, signature }
}

/** Whether `key` (P-384) signed it: ECDSA with SHA-384 over the Sig_structure (RFC 9052 §4.4). */
export function verifyCoseSign1(cose: CoseSign1, key: KeyObject): boolean {
  return verify(
    "sha384",
    encodeSigStructure(cose.protectedHeader, cose.payload),
    { key, dsaEncoding: "ieee-p1363" },
    cose.signature,
  )
}

/** The bytes that a COSE_Sign1 signature covers, without external data. */
export function encodeSigStructure(protectedHeader: Uint8Array, payload: Uint8Array): Uint8Array {
  return encodeCbor(["Signature1", protectedHeader, new Uint8Array(0), payload])
}

/** {@link decodeNsmCbor}, with this module's error. */
export function decodeOrRefuse(bytes: Uint8Array): NsmCborValue {
  try {
    return decodeNsmCbor(bytes)
  } catch (cause) {
    throw malformed("unreadable CBOR", cause)
  }
}

function malformed(reason: string, cause?: unknown): AttestationError {
  return new AttestationError("malformed-document", `not a COSE_Sign1 document: ${reason}`, {
    cause,
  })
}
