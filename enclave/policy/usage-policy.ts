/**
 * What a key may be used for. A policy is part of the image: another policy is another entry point,
 * and so another PCR0 that a KMS key policy has to name.
 */
import type { SigningKey } from "../../native/addon/index.js"
import type { CborValue } from "../../shared/cbor.js"
import type { MechanismName, PssParameter } from "../../shared/protocol/signing.js"

/** A use that the policy admits, ready for the key. */
export interface AdmittedUse {
  mechanism: MechanismName
  data: Uint8Array
  pss: PssParameter | null
}

/** What is asked of a key, as it came from the vsock. */
export interface RequestedUse {
  mechanism: string
  data: Uint8Array
  parameter: CborValue
}

export interface UsagePolicy {
  readonly name: string
  /** Mechanisms that a key can be used with, as `list` shows them. */
  mechanismsFor(key: SigningKey): readonly MechanismName[]
  /**
   * Checks one use of a key.
   *
   * @throws SigningRefusal `mechanism-refused`, `mechanism-param-refused`, `data-refused` or
   *   `data-len-range`
   */
  admit(key: SigningKey, use: RequestedUse): AdmittedUse
}
