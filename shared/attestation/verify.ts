/** Verifies an attestation document: form, certificate path to a pinned root, signature, freshness, content. */
import { timingSafeEqual } from "node:crypto"
import { AWS_NITRO_ROOT_FINGERPRINT, verifyChain } from "./chain.js"
import { decodeUnverifiedCoseSign1, verifyCoseSign1 } from "./cose.js"
import { type AttestationDocument, decodePayload } from "./document.js"
import { AttestationError } from "./errors.js"

/** How far a document's timestamp may be ahead of the verifier's clock unless it says otherwise. */
export const DEFAULT_MAX_SKEW_MS = 60_000

/** What a verifier demands. */
export interface VerifyOptions {
  /**
   * SHA-256 of the trusted root certificate's DER, 64 hex digits.
   * Default: {@link AWS_NITRO_ROOT_FINGERPRINT}.
   */
  rootFingerprint?: string
  /** The time at which every certificate must be valid and from which the age is counted. */
  now: Date
  /** Oldest document accepted, in ms before `now`. Default: as old as its certificates allow, hours. */
  maxAgeMs?: number
  /** Newest document accepted, in ms after `now`. Default: {@link DEFAULT_MAX_SKEW_MS}. */
  maxSkewMs?: number
  /** PCRs that must be in the document, each with exactly this value; others are not looked at. */
  expectedPcrs?: ReadonlyMap<number, Uint8Array>
  /** The nonce that the document must hold. */
  expectedNonce?: Uint8Array
}

/**
 * Verifies a document and returns what it says.
 *
 * A document of a debug-mode enclave verifies like any other: give `expectedPcrs`, or ask
 * `isDebugDocument`.
 *
 * @param bytes - COSE_Sign1, tagged or untagged, at most 16 KiB.
 * @throws {@link AttestationError} with the code of the first check that failed.
 * @see aws-nitro-enclaves-nsm-api, docs/attestation_process.md
 */
export function verifyAttestationDocument(
  bytes: Uint8Array,
  options: VerifyOptions,
): AttestationDocument {
  const cose = decodeUnverifiedCoseSign1(bytes)
  const document = decodePayload(cose.payload)
  const leafKey = verifyChain(document.cabundle, document.certificate, {
    rootFingerprint: options.rootFingerprint ?? AWS_NITRO_ROOT_FINGERPRINT,
    now: options.now,
  })
  if (!verifyCoseSign1(cose, leafKey)) {
    throw new AttestationError("invalid-signature", "the document is not signed by its certificate")
  }
  checkFreshness(document.timestamp, options)
  checkPcrs(document.pcrs, options.expectedPcrs ?? new Map())
  checkNonce(document.nonce, options.expectedNonce)
  return document
}

/**
 * Decodes a document without verifying anything about who made it: for display, and for a peer that
 * only relays it.
 *
 * @throws {@link AttestationError} `malformed-document` or `unsupported-algorithm`.
 */
export function decodeUnverifiedAttestationDocument(bytes: Uint8Array): AttestationDocument {
  return decodePayload(decodeUnverifiedCoseSign1(bytes).payload)
}

// Comparisons here say what must hold, so that an invalid date (NaN) is refused.

function checkFreshness(timestamp: Date, options: VerifyOptions): void {
  const ageMs = options.now.getTime() - timestamp.getTime()
  if (!(ageMs >= -(options.maxSkewMs ?? DEFAULT_MAX_SKEW_MS))) {
    throw new AttestationError(
      "document-from-future",
      `the document is dated ${-ageMs} ms ahead; is a clock wrong?`,
    )
  }
  if (!(ageMs <= (options.maxAgeMs ?? Number.POSITIVE_INFINITY))) {
    throw new AttestationError("document-too-old", `the document is ${ageMs} ms old`)
  }
}

function checkPcrs(
  pcrs: ReadonlyMap<number, Uint8Array>,
  expected: ReadonlyMap<number, Uint8Array>,
): void {
  for (const [index, value] of expected) {
    const actual = pcrs.get(index)
    if (actual === undefined) {
      throw new AttestationError("pcr-mismatch", `the document has no PCR${index}`)
    }
    if (!equal(actual, value)) {
      throw new AttestationError("pcr-mismatch", `PCR${index} is not the value expected`)
    }
  }
}

function checkNonce(nonce: Uint8Array | null, expected: Uint8Array | undefined): void {
  if (expected === undefined) return
  if (nonce === null || !equal(nonce, expected)) {
    throw new AttestationError("nonce-mismatch", "the document does not hold the nonce expected")
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
