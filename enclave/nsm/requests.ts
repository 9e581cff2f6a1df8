/** Encodes the requests of the NSM, byte for byte as the device's own library does. */
import {
  MAX_NONCE_BYTES,
  MAX_PUBLIC_KEY_BYTES,
  MAX_USER_DATA_BYTES,
  PCR_COUNT,
} from "../../shared/attestation/index.js"
import { type CborValue, encodeCbor } from "../../shared/cbor.js"
import { MAX_REQUEST_BYTES } from "./device.js"
import { NsmError } from "./errors.js"

/** What to have attested; each field is optional and null in the document when left out. */
export interface AttestationRequest {
  /** Key to which answers are to be encrypted, DER SubjectPublicKeyInfo for KMS; 1 to 1024 bytes. */
  publicKey?: Uint8Array
  /** Freshness value of the verifier, 0 to 512 bytes. */
  nonce?: Uint8Array
  /** Anything, 0 to 512 bytes. */
  userData?: Uint8Array
}

/**
 * A request: a text for one without fields, else a map of one entry whose fields keep their order.
 *
 * @see aws-nitro-enclaves-nsm-api, src/api/mod.rs (`Request`)
 */
export type NsmRequest =
  | string
  | { readonly [operation: string]: { readonly [field: string]: CborValue } }

export const DESCRIBE_NSM: NsmRequest = "DescribeNSM"
export const GET_RANDOM: NsmRequest = "GetRandom"

export function describePcr(index: number): NsmRequest {
  return { DescribePCR: { index: checkIndex(index) } }
}

export function extendPcr(index: number, data: Uint8Array): NsmRequest {
  return { ExtendPCR: { index: checkIndex(index), data } }
}

export function lockPcr(index: number): NsmRequest {
  return { LockPCR: { index: checkIndex(index) } }
}

/** @param range - Locks the PCRs below it: 0 to 32. */
export function lockPcrs(range: number): NsmRequest {
  if (!Number.isInteger(range) || range < 0 || range > PCR_COUNT) {
    throw new NsmError("invalid-argument", `a range of PCRs is 0 to ${PCR_COUNT}, not ${range}`)
  }
  return { LockPCRs: { range } }
}

export function attestation({ publicKey, nonce, userData }: AttestationRequest): NsmRequest {
  if (publicKey?.length === 0) {
    throw new NsmError("invalid-argument", "the public key to attest is empty")
  }
  return {
    Attestation: {
      user_data: checkLength("user data", userData, MAX_USER_DATA_BYTES),
      nonce: checkLength("nonce", nonce, MAX_NONCE_BYTES),
      public_key: checkLength("public key", publicKey, MAX_PUBLIC_KEY_BYTES),
    },
  }
}

/** @throws {@link NsmError} `input-too-large` for more than the driver takes. */
export function encodeRequest(request: NsmRequest): Uint8Array {
  const bytes = encodeCbor(request)
  if (bytes.length > MAX_REQUEST_BYTES) {
    throw new NsmError("input-too-large", `a request of ${bytes.length} bytes`)
  }
  return bytes
}

/** The operation's name: the key under which its response comes too. */
export function operationOf(request: NsmRequest): string {
  return typeof request === "string" ? request : (Object.keys(request)[0] ?? "")
}

function checkIndex(index: number): number {
  if (!Number.isInteger(index) || index < 0 || index >= PCR_COUNT) {
    throw new NsmError("invalid-index", `there is no PCR${index}`)
  }
  return index
}

function checkLength(name: string, value: Uint8Array | undefined, max: number): Uint8Array | null {
  if (value === undefined) return null
  if (value.length > max) {
    throw new NsmError("input-too-large", `${name} of ${value.length} bytes, at most ${max}`)
  }
  return value
}
