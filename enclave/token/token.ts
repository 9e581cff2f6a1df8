/**
 * A token: a current key with its certificates, one that is to come, those retiring after renewals, a PIN
 * and a lease.
 */
import type { SigningKey } from "../../native/addon/index.js"
import type { TokenDescription } from "../../shared/protocol/control.js"
import { fingerprintOf } from "../../shared/public-key.js"
import type { DecryptRequest } from "../kms/recipient-decrypt.js"
import type { PinGate } from "./pin.js"

/** A token ends this long after its last attestation. */
export const TOKEN_LEASE_MS = 48 * 3_600_000
/** A key replaced by a renewal signs on for as long at most: old server workers still hold it. */
export const RETIREMENT_MS = 3_600_000

/** A private key in use, and how it is named. */
export interface HeldKey {
  key: SigningKey
  /** SHA-256 of the DER SubjectPublicKeyInfo. */
  fingerprint: Buffer
}

/** How a token's key was obtained; kept so that its lease can be renewed by the same request. */
export type KeySource = Omit<DecryptRequest, "credentials">

/** What a renewal replaces. */
interface Renewable {
  /** DER, leaf first. */
  certificates: readonly Uint8Array[]
  source: KeySource
  /** ARN of the KMS key that decrypted the private key. */
  keyId: string
}

export interface TokenContent extends Renewable {
  label: string
  pin: string
  key: SigningKey
}

/** A key with the certificates that it serves. */
export interface KeyVersion extends HeldKey, Renewable {}

export interface Token {
  readonly label: string
  /** Replaced when the PIN changes: logins prove themselves against this very gate. */
  pin: PinGate
  current: KeyVersion
  /** Signs already, so that a server can be made ready for it; replaces the current one when told to. */
  next: KeyVersion | undefined
  retiring: { held: HeldKey; until: number }[]
  /** ms since the epoch. */
  attestedAt: number
  expiresAt: number
  /** Made so far, by mechanism. */
  signatures: Map<string, number>
  decryptions: Map<string, number>
  refusals: number
  failures: number
}

/** The token as the control service describes it: nothing secret. */
export function describeToken(token: Token): TokenDescription {
  const { key, fingerprint, certificates, keyId } = token.current
  return {
    label: token.label,
    fingerprint: fingerprint.toString("hex"),
    certificateFingerprint: fingerprintOf(certificates[0] ?? Buffer.alloc(0)).toString("hex"),
    keyType: key.keyType === "RSA" ? `RSA-${key.bits}` : (key.curve ?? key.keyType),
    keyId,
    attestedAt: token.attestedAt,
    expiresAt: token.expiresAt,
    nextFingerprint: token.next?.fingerprint.toString("hex") ?? null,
    retiringFingerprints: token.retiring.map(({ held }) => held.fingerprint.toString("hex")),
    signatures: Object.fromEntries(token.signatures),
    decryptions: Object.fromEntries(token.decryptions),
    refusals: token.refusals,
    failures: token.failures,
  }
}
