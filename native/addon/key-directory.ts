/**
 * The keys that the signing threads sign with. Whoever holds the tokens publishes them here; a signing
 * thread asks nobody else.
 */
import { binding, type NativeKeyDirectory } from "./binding.js"
import {
  HASHES,
  type KeyHash,
  MECHANISMS,
  SigningKey,
  type SigningMechanism,
} from "./signing-key.js"

/** A key, and what of its signatures is admitted. */
export interface PublishedKey {
  /** SHA-256 of the DER SubjectPublicKeyInfo. */
  readonly fingerprint: Uint8Array
  readonly key: SigningKey
  readonly mechanisms: readonly SigningMechanism[]
  /** Of RSA_PKCS, whose data is a DigestInfo of one of them, and RSA_PKCS_PSS. */
  readonly hashes: readonly KeyHash[]
  /** Lengths of hash values that ECDSA takes. */
  readonly ecdsaBytes: { readonly min: number; readonly max: number }
}

/** What one token has published. Tokens and gates are numbers of the publisher's, below 2³². */
export interface Publication {
  readonly token: number
  /** Connections that have proved it may use the keys. */
  readonly gate: number
  /** Milliseconds since the epoch; no request that is read after it is signed. */
  readonly expiresAt: number
  readonly keys: readonly PublishedKey[]
}

export class KeyDirectory {
  readonly #native = new binding.KeyDirectory()

  /** The addon's object of a directory, for the wrappers beside this file. */
  static nativeOf(directory: KeyDirectory): NativeKeyDirectory {
    return directory.#native
  }

  /**
   * Publishes a token's keys in place of those that it had, all at once.
   *
   * @throws AddonError `key-destroyed`, `invalid-argument`; nothing is published then
   */
  publish({ token, gate, expiresAt, keys }: Publication): void {
    this.#native.publish(
      token,
      gate,
      expiresAt,
      keys.map(({ fingerprint, key, mechanisms, hashes, ecdsaBytes }) => ({
        fingerprint,
        key: SigningKey.nativeOf(key),
        mechanisms: bitsOf(MECHANISMS, mechanisms),
        hashes: bitsOf(HASHES, hashes),
        minEcdsaBytes: ecdsaBytes.min,
        maxEcdsaBytes: ecdsaBytes.max,
      })),
    )
  }

  /** Ends the use of a token's keys: no request that is read after this is signed with them. */
  withdraw(token: number): void {
    this.#native.withdraw(token)
  }

  /** Signatures made with a token's keys since the last call, by mechanism; none that is zero. */
  takeCounts(token: number): Map<SigningMechanism, number> {
    const counts = this.#native.takeCounts(token)
    return new Map(
      [...MECHANISMS]
        .map(([name, number]) => [name, counts[number] ?? 0] as const)
        .filter(([, count]) => count > 0),
    )
  }
}

function bitsOf<Name>(numbers: ReadonlyMap<Name, number>, names: readonly Name[]): number {
  return names.reduce((bits, name) => bits | (1 << (numbers.get(name) ?? 0)), 0)
}
