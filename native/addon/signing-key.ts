/**
 * Private keys that sign a precomputed digest: what Node's own crypto cannot do for ECDSA and
 * RSA-PSS, nor off the event loop for PKCS #1 v1.5. The key lives in the addon's memory alone.
 */

import { AddonError } from "./addon-error.js"
import { binding, type NativeSigningKey } from "./binding.js"

/** Signature mechanisms, as PKCS #11 names them without `CKM_`. */
export type SigningMechanism = "RSA_PKCS" | "RSA_PKCS_PSS" | "ECDSA"

/** Hash functions of RSA_PKCS_PSS, for the message and MGF1 alike. */
export type SigningHash = "SHA-256" | "SHA-384" | "SHA-512"

/** Parameters of RSA_PKCS_PSS. */
export interface PssParameters {
  readonly hash: SigningHash
  /** In bytes, at most modulus bytes − hash bytes − 2. */
  readonly saltLength: number
}

export type SigningKeyErrorCode =
  // from SigningKey.fromPem
  | "malformed-private-key"
  | "encrypted-private-key"
  | "unsupported-key-type"
  | "inconsistent-private-key"
  // from sign and signSync
  | "invalid-argument"
  | "key-destroyed"
  | "mechanism-mismatch"
  | "data-len-range"
  | "salt-len-range"
  | "sign-failed"

/** Receives a signature, or the error that prevented it (then `signature` is undefined). */
export type SignCallback = (
  error: AddonError<SigningKeyErrorCode> | null,
  signature: Uint8Array,
) => void

const MECHANISMS = new Map<string, number>([
  ["RSA_PKCS", 0],
  ["RSA_PKCS_PSS", 1],
  ["ECDSA", 2],
])
const HASHES = new Map<string, number>([
  ["SHA-256", 0],
  ["SHA-384", 1],
  ["SHA-512", 2],
])
const NO_PSS = { hash: "SHA-256", saltLength: 0 } as const

function numberOf(names: ReadonlyMap<string, number>, name: string, what: string): number {
  const number = names.get(name)
  if (number === undefined) {
    const known = [...names.keys()].join(", ")
    throw new AddonError<SigningKeyErrorCode>("invalid-argument", `${what} must be one of ${known}`)
  }
  return number
}

/** A private key: RSA of 2048 to 4096 bits, P-256 or P-384. */
export class SigningKey {
  readonly keyType: "RSA" | "EC"
  /** RSA: bits of the modulus. EC: 256 or 384. */
  readonly bits: number
  /** Of an EC key. */
  readonly curve?: "P-256" | "P-384"
  /** SubjectPublicKeyInfo in DER; EC as a named curve with an uncompressed point. */
  readonly publicKey: Uint8Array

  readonly #native: NativeSigningKey

  private constructor(native: NativeSigningKey) {
    this.#native = native
    this.keyType = native.keyType
    this.bits = native.bits
    this.publicKey = native.publicKey
    if (native.keyType === "EC") this.curve = native.bits === 256 ? "P-256" : "P-384"
  }

  /**
   * Reads a private key from PEM: `PRIVATE KEY` (PKCS #8), `RSA PRIVATE KEY` (PKCS #1) or
   * `EC PRIVATE KEY` (SEC 1), the latter possibly after an `EC PARAMETERS` block. The bytes are
   * read in place and remain the caller's to wipe; every copy made while parsing is wiped.
   *
   * Checks that the parts of the key belong together, which takes about 50 ms for RSA-2048 and
   * 250 ms for RSA-4096 on the calling thread.
   *
   * @throws {@link AddonError} `malformed-private-key`, `encrypted-private-key`,
   *   `unsupported-key-type`, `inconsistent-private-key`.
   */
  static fromPem(pem: Uint8Array): SigningKey {
    return new SigningKey(new binding.SigningKey(pem))
  }

  /**
   * Signs on libuv's thread pool; any number of signatures may be in flight. `data` is copied
   * before this returns.
   *
   * @param data - RSA_PKCS: a DER DigestInfo, which is padded as RFC 8017 §9.2 says. RSA_PKCS_PSS:
   *   a hash value. ECDSA: a hash value of 32 to 64 bytes.
   * @param pss - For RSA_PKCS_PSS, else null.
   * @param callback - Receives the signature. RSA: as long as the modulus. ECDSA: r‖s, each as
   *   long as the curve's order. An error here is `sign-failed`.
   * @throws {@link AddonError} at once, and the callback is never called: `invalid-argument`,
   *   `key-destroyed`, `mechanism-mismatch`, `data-len-range`, `salt-len-range`.
   */
  sign(
    mechanism: SigningMechanism,
    data: Uint8Array,
    pss: PssParameters | null,
    callback: SignCallback,
  ): void {
    const { hash, saltLength } = pss ?? NO_PSS
    this.#checkPss(mechanism, pss)
    this.#native.sign(
      numberOf(MECHANISMS, mechanism, "mechanism"),
      data,
      numberOf(HASHES, hash, "hash"),
      saltLength,
      callback as (error: AddonError | null, signature: Uint8Array) => void,
    )
  }

  /** As {@link sign}, on the calling thread: right for ECDSA, which costs less than a hop. */
  signSync(mechanism: SigningMechanism, data: Uint8Array, pss: PssParameters | null): Uint8Array {
    const { hash, saltLength } = pss ?? NO_PSS
    this.#checkPss(mechanism, pss)
    return this.#native.signSync(
      numberOf(MECHANISMS, mechanism, "mechanism"),
      data,
      numberOf(HASHES, hash, "hash"),
      saltLength,
    )
  }

  /**
   * Ends the use of the key: signing from here on is `key-destroyed`; its memory is cleared and
   * freed once the last signature in flight is done. May be repeated.
   */
  destroy(): void {
    this.#native.destroy()
  }

  #checkPss(mechanism: SigningMechanism, pss: PssParameters | null): void {
    if ((mechanism === "RSA_PKCS_PSS") !== (pss !== null)) {
      throw new AddonError<SigningKeyErrorCode>(
        "invalid-argument",
        "pss parameters go with RSA_PKCS_PSS, and only with it",
      )
    }
  }
}
