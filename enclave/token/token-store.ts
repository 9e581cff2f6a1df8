/** The tokens that the enclave holds, by label and by the fingerprints of their keys. */
import { ControlError } from "../../shared/protocol/control.js"
import { fingerprintOf } from "../../shared/public-key.js"
import { PinGate, type PinTiming } from "./pin.js"
import {
  type HeldKey,
  RETIREMENT_MS,
  TOKEN_LEASE_MS,
  type Token,
  type TokenContent,
} from "./token.js"

/** Enough for the 1,000 certificates of a large host; each takes some 30 kB. */
export const MAX_TOKENS = 1_024

export interface TokenStoreOptions {
  now?: () => number
  pinTiming?: PinTiming
}

export class TokenStore {
  readonly #now: () => number
  readonly #pinTiming: PinTiming | undefined
  readonly #tokens = new Map<string, Token>()
  /** Fingerprint (latin1) → holders; two tokens may hold one key. */
  readonly #holders = new Map<string, { token: Token; held: HeldKey }[]>()
  #generation: number

  constructor(options: TokenStoreOptions = {}) {
    this.#now = options.now ?? Date.now
    this.#pinTiming = options.pinTiming
    this.#generation = this.#now()
  }

  /** Grows with every change of what {@link list} returns, over restarts too. */
  get generation(): number {
    return this.#generation
  }

  get(label: string): Token | undefined {
    return this.#tokens.get(label)
  }

  /** Live tokens in the order of their labels' bytes. */
  list(): Token[] {
    return [...this.#tokens.values()].sort((a, b) =>
      Buffer.compare(Buffer.from(a.label), Buffer.from(b.label)),
    )
  }

  /** Every live token that holds a key of this fingerprint, current or retiring. */
  holdersOf(fingerprint: Uint8Array): readonly { token: Token; held: HeldKey }[] {
    const holders = this.#holders.get(indexKey(fingerprint)) ?? []
    const now = this.#now()
    return holders.every(({ token }) => token.expiresAt > now)
      ? holders
      : holders.filter(({ token }) => token.expiresAt > now)
  }

  /**
   * Adds a token, or renews the one with its label: its former key retires, its counters stay.
   *
   * @throws ControlError `too-many-tokens`; the key is destroyed then.
   */
  put(content: TokenContent): Token {
    const former = this.#tokens.get(content.label)
    if (former === undefined && this.#tokens.size >= MAX_TOKENS) {
      content.key.destroy()
      throw new ControlError("too-many-tokens", `the enclave holds ${MAX_TOKENS} tokens already`)
    }
    const held = { key: content.key, fingerprint: fingerprintOf(content.key.publicKey) }
    const token = former === undefined ? this.#create(content, held) : former
    if (former !== undefined) this.#renew(former, content, held)
    this.#extendLease(token)
    this.#changed()
    return token
  }

  /** Renews the lease of a token after an attestation. */
  extend(token: Token): void {
    this.#extendLease(token)
    this.#changed()
  }

  /** Removes a token and destroys its keys. */
  remove(token: Token): void {
    if (this.#tokens.get(token.label) !== token) return
    this.#tokens.delete(token.label)
    this.#drop(token, token.current)
    for (const { held } of token.retiring) this.#drop(token, held)
    token.retiring = []
    this.#changed()
  }

  /**
   * Destroys a retiring key before its time. A key that is not there is gone already; the current one
   * stays.
   *
   * @returns whether there was such a key
   */
  retire(token: Token, fingerprint: Uint8Array): boolean {
    const retired = token.retiring.find(({ held }) => held.fingerprint.equals(fingerprint))
    if (retired === undefined) return false
    token.retiring = token.retiring.filter((retiring) => retiring !== retired)
    this.#drop(token, retired.held)
    return true
  }

  /** Ends expired tokens and retired keys; returns the labels of the tokens that ended. */
  sweep(): string[] {
    const now = this.#now()
    const ended: string[] = []
    for (const token of [...this.#tokens.values()]) {
      if (token.expiresAt <= now) {
        this.remove(token)
        ended.push(token.label)
        continue
      }
      for (const { held, until } of token.retiring) if (until <= now) this.#drop(token, held)
      token.retiring = token.retiring.filter(({ until }) => until > now)
    }
    return ended
  }

  #create(content: TokenContent, held: HeldKey): Token {
    const token: Token = {
      label: content.label,
      pin: new PinGate(content.pin, this.#pinTiming),
      certificates: content.certificates,
      current: held,
      retiring: [],
      source: content.source,
      keyId: content.keyId,
      attestedAt: 0,
      expiresAt: 0,
      signatures: new Map(),
      decryptions: new Map(),
      refusals: 0,
      failures: 0,
    }
    this.#tokens.set(token.label, token)
    this.#index(token, held)
    return token
  }

  #renew(token: Token, content: TokenContent, held: HeldKey): void {
    token.certificates = content.certificates
    token.source = content.source
    token.keyId = content.keyId
    // Logins made with the same PIN stay good.
    if (!token.pin.matches(content.pin)) token.pin = new PinGate(content.pin, this.#pinTiming)
    if (token.current.fingerprint.equals(held.fingerprint)) {
      held.key.destroy()
      return
    }
    const former = token.current
    // A key that comes back from retirement is not there twice.
    const returning = token.retiring.find((r) => r.held.fingerprint.equals(held.fingerprint))
    token.retiring = token.retiring.filter((r) => r !== returning)
    token.retiring.push({ held: former, until: this.#now() + RETIREMENT_MS })
    if (returning !== undefined) {
      held.key.destroy()
      token.current = returning.held
      return
    }
    token.current = held
    this.#index(token, held)
  }

  #extendLease(token: Token): void {
    token.attestedAt = this.#now()
    token.expiresAt = token.attestedAt + TOKEN_LEASE_MS
  }

  #index(token: Token, held: HeldKey): void {
    const key = indexKey(held.fingerprint)
    this.#holders.set(key, [...(this.#holders.get(key) ?? []), { token, held }])
  }

  #drop(token: Token, held: HeldKey): void {
    const key = indexKey(held.fingerprint)
    const rest = (this.#holders.get(key) ?? []).filter((holder) => holder.token !== token)
    if (rest.length > 0) this.#holders.set(key, rest)
    else this.#holders.delete(key)
    held.key.destroy()
  }

  #changed(): void {
    this.#generation = Math.max(this.#generation + 1, this.#now())
  }
}

function indexKey(fingerprint: Uint8Array): string {
  return Buffer.from(fingerprint.buffer, fingerprint.byteOffset, fingerprint.byteLength).toString(
    "latin1",
  )
}
