/**
 * Private keys that sign a precomputed digest: what Node's own crypto cannot do for ECDSA and
 * RSA-PSS, nor off the event loop for PKCS #1 v1.5. They sign whole messages with Ed25519, and raw
 * blocks and decrypt with RSA. The key lives in the addon's memory alone.
 */

import { AddonError } from "./addon-error.js"
import { binding, type NativeSigningKey } from "./binding.js"

/** Signature mechanisms, as PKCS #11 names them without `CKM_`. */
export type SigningMechanism = "RSA_PKCS" | "RSA_PKCS_PSS" | "ECDSA" | "EDDSA" | "RSA_X_509"

/** Decryption mechanisms, likewise. */
export type DecryptionMechanism = "RSA_PKCS" | "RSA_PKCS_OAEP" | "RSA_X_509"

/** Hash functions of RSA_PKCS_PSS and RSA_PKCS_OAEP. */
export type KeyHash = "SHA-1" | "SHA-224" | "SHA-256" | "SHA-384" | "SHA-512"

/** Parameters of RSA_PKCS_PSS. */
export interface PssParameters {
  /** For the message and MGF1 alike. */
  readonly hash: KeyHash
  /** In bytes, at most modulus bytes − hash bytes − 2. */
  readonly saltLength: number
}

/** Parameters of RSA_PKCS_OAEP. */
export interface OaepParameters {
  readonly hash: KeyHash
  /** Of MGF1. */
  readonly mgfHash: KeyHash
  /** L of RFC 8017 §7.1, empty as a rule. */
  readonly label: Uint8Array
}

export type SigningKeyErrorCode =
  // from SigningKey.fromPem
  | "malformed-private-key"
  | "encrypted-private-key"
  | "unsupported-key-type"
  | "inconsistent-private-key"
  // from sign, signSync and decrypt
  | "invalid-argument"
  | "key-destroyed"
  | "mechanism-mismatch"
  // from sign and signSync
  | "data-len-range"
  | "data-invalid"
  | "salt-len-range"
  | "sign-failed"
  // from decrypt
  | "encrypted-data-len-range"
  | "encrypted-data-invalid"
  | "decrypt-failed"

/** Receives a signature, or the error that prevented it (then `signature` is undefined). */
export type SignCallback = (
  error: AddonError<SigningKeyErrorCode> | null,
  signature: Uint8Array,
) => void

/** Receives a plaintext, or the error that prevented it (then `plaintext` is undefined). */
export type DecryptCallback = (
  error: AddonError<SigningKeyErrorCode> | null,
  plaintext: Uint8Array,
) => void

/** The addon's numbers of the mechanisms. */
export const MECHANISMS = new Map<SigningMechanism, number>([
  ["RSA_PKCS", 0],
  ["RSA_PKCS_PSS", 1],
  ["ECDSA", 2],
  ["EDDSA", 3],
  ["RSA_X_509", 4],
])
const DECRYPTION_MECHANISMS = new Map<string, number>([
  ["RSA_PKCS", 0],
  ["RSA_PKCS_OAEP", 1],
  ["RSA_X_509", 2],
])
/** The addon's numbers of the hash functions. */
export const HASHES = new Map<KeyHash, number>([
  ["SHA-1", 0],
  ["SHA-224", 1],
  ["SHA-256", 2],
  ["SHA-384", 3],
  ["SHA-512", 4],
])
const NO_PSS = { hash: "SHA-256", saltLength: 0 } as const
const NO_OAEP = { hash: "SHA-256", mgfHash: "SHA-256", label: new Uint8Array(0) } as const

function numberOf(names: ReadonlyMap<string, number>, name: string, what: string): number {
  const number = names.get(name)
  if (number === undefined) {
    const known = [...names.keys()].join(", ")
    throw new AddonError<SigningKeyErrorCode>("invalid-argument", `${what} must be one of ${known}`)
  }
  return number
}

/** A private key: RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519. */
export class SigningKey {
  readonly keyType: "RSA" | "EC" | "Ed25519"
  /** RSA: bits of the modulus. EC: 256 or 384. Ed25519: 255. */
  readonly bits: number
  /** Of an EC key. */
  readonly curve?: "P-256" | "P-384"
  /** SubjectPublicKeyInfo in DER; EC as a named curve with an uncompressed point. */
  readonly publicKey: Uint8Array

  readonly #native: NativeSigningKey

  /** The addon's object of a key, for the wrappers beside this file. */
  static nativeOf(key: SigningKey): NativeSigningKey {
    return key.#native
  }

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
   *   a hash value. ECDSA: a hash value of 20 to 64 bytes. EDDSA: the whole message, at most 60,000
   *   bytes. RSA_X_509: a block as long as the modulus and, as a number, below it.
   * @param pss - For RSA_PKCS_PSS, else null.
   * @param callback - Receives the signature. RSA: as long as the modulus. ECDSA: r‖s, each as
   *   long as the curve's order. EDDSA: 64 bytes. An error here is `sign-failed`.
   * @throws {@link AddonError} at once, and the callback is never called: `invalid-argument`,
   *   `key-destroyed`, `mechanism-mismatch`, `data-len-range`, `data-invalid` (RSA_X_509: not below
   *   the modulus), `salt-len-range`.
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
   * Decrypts with an RSA key on libuv's thread pool. `data` and the label are copied before this
   * returns.
   *
   * The time it takes tells no more about a padding than the outcome does. The outcome of RSA_PKCS
   * does tell a right padding from a wrong one, unless libcrypto is one with implicit rejection
   * (OpenSSL 3.2 and later, not Debian 12's 3.0): then a wrong padding gives a made-up plaintext.
   *
   * @param data - The ciphertext, as long as the modulus.
   * @param oaep - For RSA_PKCS_OAEP, else null.
   * @param callback - Receives the plaintext; that of RSA_X_509 is as long as the modulus. An error
   *   here is `encrypted-data-invalid` (a wrong padding, hash or label) or `decrypt-failed`.
   * @throws {@link AddonError} at once, and the callback is never called: `invalid-argument`,
   *   `key-destroyed`, `mechanism-mismatch`, `encrypted-data-len-range`, `encrypted-data-invalid`
   *   (not below the modulus).
   */
  decrypt(
    mechanism: DecryptionMechanism,
    data: Uint8Array,
    oaep: OaepParameters | null,
    callback: DecryptCallback,
  ): void {
    if ((mechanism === "RSA_PKCS_OAEP") !== (oaep !== null)) {
      throw new AddonError<SigningKeyErrorCode>(
        "invalid-argument",
        "oaep parameters go with RSA_PKCS_OAEP, and only with it",
      )
    }
    const { hash, mgfHash, label } = oaep ?? NO_OAEP
    this.#native.decrypt(
      numberOf(DECRYPTION_MECHANISMS, mechanism, "mechanism"),
      data,
      numberOf(HASHES, hash, "hash"),
      numberOf(HASHES, mgfHash, "mgfHash"),
      label,
      callback as (error: AddonError | null, plaintext: Uint8Array) => void,
    )
  }

  /**
   * Ends the use of the key: using it from here on is `key-destroyed`; its memory is cleared and
   * freed once the last operation in flight is done. May be repeated.
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
