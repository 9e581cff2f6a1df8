/** Publishes the keys of tokens to the threads that sign, and takes over what these have counted. */
import type { KeyDirectory, PublishedKey } from "../../native/addon/index.js"
import type { UsagePolicy } from "../policy/usage-policy.js"
import type { HeldKey, Token } from "./token.js"

/** Told by the token store of every change. */
export interface KeyPublication {
  /** A token is new, or something of it has changed. */
  publish(token: Token): void
  /** A token is gone; its keys are destroyed next. */
  withdraw(token: Token): void
  /** Adds to a token's counters what has been counted elsewhere. */
  collect(token: Token): void
}

/** Publishes to a directory what the policy admits. */
export class DirectoryPublication implements KeyPublication {
  readonly #directory: KeyDirectory
  readonly #policy: UsagePolicy
  readonly #numbers = new Map<Token, number>()
  #lastNumber = 0

  constructor(directory: KeyDirectory, policy: UsagePolicy) {
    this.#directory = directory
    this.#policy = policy
  }

  publish(token: Token): void {
    const number = this.#numbers.get(token) ?? ++this.#lastNumber
    this.#numbers.set(token, number)
    const { current, next, retiring } = token
    const held = [current, ...(next ? [next] : []), ...retiring.map((retired) => retired.held)]
    this.#directory.publish({
      token: number,
      gate: token.pin.id,
      expiresAt: token.expiresAt,
      keys: held.map((key) => this.#published(key)),
    })
  }

  withdraw(token: Token): void {
    const number = this.#numbers.get(token)
    if (number === undefined) return
    this.collect(token)
    this.#numbers.delete(token)
    this.#directory.withdraw(number)
  }

  collect(token: Token): void {
    const number = this.#numbers.get(token)
    if (number === undefined) return
    for (const [mechanism, count] of this.#directory.takeCounts(number)) {
      token.signatures.set(mechanism, (token.signatures.get(mechanism) ?? 0) + count)
    }
  }

  #published({ key, fingerprint }: HeldKey): PublishedKey {
    return {
      key,
      fingerprint,
      mechanisms: this.#policy.mechanismsFor(key),
      hashes: this.#policy.hashesFor(key),
      ecdsaBytes: this.#policy.ecdsaBytes,
    }
  }
}
