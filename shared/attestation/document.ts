/** The payload of an attestation document: its fields, their limits, and decoding into a typed value. */
import type { NsmCborMap, NsmCborValue } from "./cbor.js"
import { decodeOrRefuse } from "./cose.js"
import { AttestationError } from "./errors.js"

// Limits: aws-nitro-enclaves-nsm-api, docs/attestation_process.md, "Check content".
/** PCR indexes run from 0 to 31. */
export const PCR_COUNT = 32
/** Largest certificate in a document, bytes of DER. */
export const MAX_CERTIFICATE_BYTES = 1024
/** Largest `publicKey`, in bytes; the smallest is 1. */
export const MAX_PUBLIC_KEY_BYTES = 1024
/** Largest `userData`, in bytes. */
export const MAX_USER_DATA_BYTES = 512
/** Largest `nonce`, in bytes. */
export const MAX_NONCE_BYTES = 512
const PCR_LENGTHS: ReadonlySet<number> = new Set([32, 48, 64])
/** Latest time that a Date can hold, in ms since the epoch (ECMA-262). */
const MAX_DATE_MS = 8.64e15

/** What an attestation document says. Byte strings are copies, free of the document's buffer. */
export interface AttestationDocument {
  /** Issuing NSM, such as `i-0123456789abcdef0-enc0123456789abcdef`. */
  moduleId: string
  /** Hash that the PCRs are made with. */
  digest: "SHA384"
  /** When the document was made, by the hypervisor's clock. */
  timestamp: Date
  /** PCRs locked at that time, by index. */
  pcrs: ReadonlyMap<number, Uint8Array>
  /** DER of the leaf, whose key signed the document. */
  certificate: Uint8Array
  /** DER of the CA certificates, the root first. */
  cabundle: readonly Uint8Array[]
  /** What the enclave asked to have attested; null when it gave nothing. */
  publicKey: Uint8Array | null
  userData: Uint8Array | null
  nonce: Uint8Array | null
}

/** Every field of a payload. The last three may be absent as well as null. */
const FIELDS: ReadonlySet<string> = new Set([
  "module_id",
  "digest",
  "timestamp",
  "pcrs",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce",
])

/**
 * Decodes the payload of a document, checking types and limits but no signature.
 *
 * @throws {@link AttestationError} `malformed-document`.
 */
export function decodePayload(payload: Uint8Array): AttestationDocument {
  const map = decodeOrRefuse(payload)
  if (!(map instanceof Map)) throw malformed("the payload is not a map")
  const fields: NsmCborMap = map
  for (const name of fields.keys()) {
    if (typeof name !== "string" || !FIELDS.has(name)) throw malformed("an unknown field")
  }
  return {
    moduleId: moduleId(fields.get("module_id")),
    digest: digest(fields.get("digest")),
    timestamp: timestamp(fields.get("timestamp")),
    pcrs: pcrs(fields.get("pcrs")),
    certificate: bytes("certificate", fields.get("certificate"), 1, MAX_CERTIFICATE_BYTES),
    cabundle: cabundle(fields.get("cabundle")),
    publicKey: optionalBytes("public_key", fields, 1, MAX_PUBLIC_KEY_BYTES),
    userData: optionalBytes("user_data", fields, 0, MAX_USER_DATA_BYTES),
    nonce: optionalBytes("nonce", fields, 0, MAX_NONCE_BYTES),
  }
}

/**
 * True for a document of an enclave in debug mode, whose console the parent can read: PCR0, 1 and 2
 * are present and zero. Such a document proves nothing about the image.
 */
export function isDebugDocument(document: Pick<AttestationDocument, "pcrs">): boolean {
  return [0, 1, 2].every((index) => document.pcrs.get(index)?.every((byte) => byte === 0) ?? false)
}

function moduleId(value: NsmCborValue | undefined): string {
  if (typeof value !== "string" || value === "") throw malformed("module_id is no text or empty")
  return value
}

function digest(value: NsmCborValue | undefined): "SHA384" {
  if (value !== "SHA384") throw malformed('digest is not "SHA384"')
  return value
}

function timestamp(value: NsmCborValue | undefined): Date {
  if (typeof value !== "number" || value <= 0 || value > MAX_DATE_MS) {
    throw malformed("timestamp is not a time in ms since the epoch")
  }
  return new Date(value)
}

function pcrs(value: NsmCborValue | undefined): Map<number, Uint8Array> {
  if (!(value instanceof Map)) throw malformed("pcrs is not a map")
  if (value.size < 1 || value.size > PCR_COUNT) throw malformed(`pcrs has ${value.size} entries`)
  const result = new Map<number, Uint8Array>()
  for (const [index, pcr] of value as NsmCborMap) {
    if (typeof index !== "number" || index < 0 || index >= PCR_COUNT) {
      throw malformed("pcrs has an index that is not 0 to 31")
    }
    if (!(pcr instanceof Uint8Array) || !PCR_LENGTHS.has(pcr.length)) {
      throw malformed(`PCR${index} is not 32, 48 or 64 bytes`)
    }
    result.set(index, pcr)
  }
  return result
}

function cabundle(value: NsmCborValue | undefined): Uint8Array[] {
  if (!Array.isArray(value) || value.length === 0) throw malformed("cabundle is no array or empty")
  return value.map((entry) => bytes("a cabundle entry", entry, 1, MAX_CERTIFICATE_BYTES))
}

function optionalBytes(
  name: string,
  fields: NsmCborMap,
  min: number,
  max: number,
): Uint8Array | null {
  const value = fields.get(name) ?? null
  return value === null ? null : bytes(name, value, min, max)
}

function bytes(
  name: string,
  value: NsmCborValue | undefined,
  min: number,
  max: number,
): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length < min || value.length > max) {
    throw malformed(`${name} is not a byte string of ${min} to ${max} bytes`)
  }
  return value
}

function malformed(reason: string): AttestationError {
  return new AttestationError("malformed-document", `malformed attestation document: ${reason}`)
}
