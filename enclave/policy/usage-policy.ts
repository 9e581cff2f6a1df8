/**
 * What a key may be used for. A policy is part of the image: another policy is another entry point,
 * and so another PCR0 that a KMS key policy has to name.
 */
import type { SigningKey } from "../../native/addon/index.js"
import type { CborValue } from "../../shared/cbor.js"
import type {
  DecryptMechanismName,
  HashName,
  MechanismName,
  OaepParameter,
  PssParameter,
} from "../../shared/protocol/signing.js"

/** What is asked of a key, as it came from the vsock. */
export interface RequestedUse {
  mechanism: string
  data: Uint8Array
  parameter: CborValue
}

/** A signature that the policy admits, ready for the key. */
export interface AdmittedUse {
  mechanism: MechanismName
  data: Uint8Array
  pss: PssParameter | null
}

/** A decryption that the policy admits, ready for the key. */
export interface AdmittedDecryption {
  mechanism: DecryptMechanismName
  data: Uint8Array
  oaep: OaepParameter | null
}

export interface UsagePolicy {
  readonly name: string
  /** Mechanisms that a key can sign with, as `list` shows them. */
  mechanismsFor(key: SigningKey): readonly MechanismName[]
  /** Hash functions whose values a key signs. */
  hashesFor(key: SigningKey): readonly HashName[]
  /** Lengths of the hash values that an EC key signs. */
  readonly ecdsaBytes: { readonly min: number; readonly max: number }
  /** Mechanisms that a key can decrypt with. */
  decryptMechanismsFor(key: SigningKey): readonly DecryptMechanismName[]
  /**
   * Checks one signature to be made by a key.
   *
   * @throws SigningRefusal `mechanism-refused`, `mechanism-param-refused`, `data-refused` or
   *   `data-len-range`
   */
  admit(key: SigningKey, use: RequestedUse): AdmittedUse
  /**
   * Checks one decryption to be made by a key.
   *
   * @throws SigningRefusal `mechanism-refused`, `mechanism-param-refused` or
   *   `encrypted-data-len-range`
   */
  admitDecrypt(key: SigningKey, use: RequestedUse): AdmittedDecryption
}
