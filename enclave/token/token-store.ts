/** The tokens that the enclave holds, by label and by the fingerprints of their keys. */
import { ControlError } from "../../shared/protocol/control.js"
import { fingerprintOf } from "../../shared/public-key.js"
import type { KeyPublication } from "./key-publication.js"
import { PinGate, type PinTiming } from "./pin.js"
import {
  type HeldKey,
  type KeyVersion,
  RETIREMENT_MS,
  TOKEN_LEASE_MS,
  type Token,
  type TokenContent,
} from "./token.js"

/** Renewals follow one another in weeks: more are a mistake of the owner's. */
const MAX_RETIRING_KEYS = 8

/** Enough for the 1,000 certificates of a large host; each takes some 30 kB. */
export const MAX_TOKENS = 1_024

export interface TokenStoreOptions {
  now?: () => number
  pinTiming?: PinTiming
  /** Told of every change; without one, nobody else signs. */
  publication?: KeyPublication
}

export class TokenStore {
  readonly #now: () => number
  readonly #pinTiming: PinTiming | undefined
  readonly #publication: KeyPublication | undefined
  readonly #tokens = new Map<string, Token>()
  /** Fingerprint (latin1) → holders; two tokens may hold one key. */
  readonly #holders = new Map<string, { token: Token; held: HeldKey }[]>()
  #generation: number

  constructor(options: TokenStoreOptions = {}) {
    this.#now = options.now ?? Date.now
    this.#pinTiming = options.pinTiming
    this.#publication = options.publication
    this.#generation = this.#now()
  }

  /** Grows with every change of what {@link list} returns, over restarts too. */
  get generation(): number {
    return this.#generation
  }

  get(label: string): Token | undefined {
    const token = this.#tokens.get(label)
    if (token !== undefined) this.#publication?.collect(token)
    return token
  }

  /** Live tokens in the order of their labels' bytes. */
  list(): Token[] {
    const tokens = [...this.#tokens.values()]
    for (const token of tokens) this.#publication?.collect(token)
    return tokens.sort((a, b) => Buffer.compare(Buffer.from(a.label), Buffer.from(b.label)))
  }

  /** Every live token that holds a key of this fingerprint, be it current, next or retiring. */
  holdersOf(fingerprint: Uint8Array): readonly { token: Token; held: HeldKey }[] {
    const holders = this.#holders.get(indexKey(fingerprint)) ?? []
    const now = this.#now()
    return holders.every(({ token }) => token.expiresAt > now)
      ? holders
      : holders.filter(({ token }) => token.expiresAt > now)
  }

  /**
   * Adds a token, or renews the one with its label: its former key retires, its counters stay. A renewal
   * that is staged waits for {@link activate}; a new token, and new certificates for the current key, have
   * nothing to wait for.
   *
   * @throws ControlError `too-many-tokens`; the key is destroyed then.
   */
  put({ label, pin, ...content }: TokenContent, { stage = false } = {}): Token {
    const fingerprint = fingerprintOf(content.key.publicKey)
    const former = this.#tokens.get(label)
    if (former === undefined) {
      if (this.#tokens.size >= MAX_TOKENS) {
        content.key.destroy()
        throw new ControlError("too-many-tokens", `the enclave holds ${MAX_TOKENS} tokens already`)
      }
      return this.#create(label, pin, { ...content, fingerprint })
    }
    // Logins made with the same PIN stay good.
    if (!former.pin.matches(pin)) former.pin = new PinGate(pin, this.#pinTiming)
    const version = this.#admit(former, { ...content, fingerprint })
    if (stage && !version.fingerprint.equals(former.current.fingerprint)) {
      this.#discardNext(former, version)
      former.next = version
      this.#changed(former)
      return former
    }
    this.#makeCurrent(former, version)
    this.extend(former)
    return former
  }

  /**
   * Makes the key that was staged the current one; the one that was, retires.
   *
   * @throws ControlError `unknown-key` unless it is staged, or current already
   */
  activate(token: Token, fingerprint: Uint8Array): void {
    if (token.current.fingerprint.equals(fingerprint)) return
    if (token.next?.fingerprint.equals(fingerprint) !== true) {
      throw new ControlError("unknown-key", "no such key is staged")
    }
    this.#makeCurrent(token, token.next)
    this.extend(token)
  }

  /** Renews the lease of a token after an attestation. */
  extend(token: Token): void {
    token.attestedAt = this.#now()
    token.expiresAt = token.attestedAt + TOKEN_LEASE_MS
    this.#changed(token)
  }

  /** Removes a token and destroys its keys. */
  remove(token: Token): void {
    if (this.#tokens.get(token.label) !== token) return
    this.#tokens.delete(token.label)
    this.#publication?.withdraw(token)
    this.#drop(token, token.current)
    this.#discardNext(token)
    for (const { held } of token.retiring) this.#drop(token, held)
    token.retiring = []
    this.#advance()
  }

  /**
   * Destroys a retiring key before its time, or one that was staged. A key that is not there is gone
   * already; the current one stays.
   *
   * @returns whether there was such a key
   */
  retire(token: Token, fingerprint: Uint8Array): boolean {
    if (token.next?.fingerprint.equals(fingerprint) === true) {
      this.#discardNext(token)
      this.#changed(token)
      return true
    }
    const retired = token.retiring.find(({ held }) => held.fingerprint.equals(fingerprint))
    if (retired === undefined) return false
    token.retiring = token.retiring.filter((retiring) => retiring !== retired)
    this.#drop(token, retired.held)
    this.#changed(token)
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
      this.#endRetired(token, ({ until }) => until <= now)
    }
    return ended
  }

  #create(label: string, pin: string, current: KeyVersion): Token {
    const token: Token = {
      label,
      pin: new PinGate(pin, this.#pinTiming),
      current,
      next: undefined,
      retiring: [],
      attestedAt: 0,
      expiresAt: 0,
      signatures: new Map(),
      decryptions: new Map(),
      refusals: 0,
      failures: 0,
    }
    this.#tokens.set(label, token)
    this.#index(token, current)
    this.extend(token)
    return token
  }

  /** A key that the token holds already stays the one it is: there is never a second of it. */
  #admit(token: Token, version: KeyVersion): KeyVersion {
    const known = [token.current, token.next, ...token.retiring.map(({ held }) => held)].find(
      (held) => held?.fingerprint.equals(version.fingerprint),
    )
    if (known === undefined) {
      this.#index(token, version)
      return version
    }
    version.key.destroy()
    token.retiring = token.retiring.filter(({ held }) => held !== known)
    return { ...version, key: known.key }
  }

  #makeCurrent(token: Token, version: KeyVersion): void {
    const former = token.current
    token.current = version
    this.#discardNext(token, version)
    if (former.fingerprint.equals(version.fingerprint)) return
    const { key, fingerprint } = former
    token.retiring.push({ held: { key, fingerprint }, until: this.#now() + RETIREMENT_MS })
    const surplus = token.retiring.length - MAX_RETIRING_KEYS
    this.#endRetired(token, (_retiring, index) => index < surplus)
  }

  /** Forgets the key to come; unless it is `kept`'s too, it ends. */
  #discardNext(token: Token, kept?: KeyVersion): void {
    const { next } = token
    token.next = undefined
    if (next !== undefined && kept?.fingerprint.equals(next.fingerprint) !== true) {
      this.#drop(token, next)
    }
  }

  #endRetired(
    token: Token,
    ends: (retiring: Token["retiring"][number], index: number) => boolean,
  ): void {
    const ended = token.retiring.filter(ends)
    if (ended.length === 0) return
    token.retiring = token.retiring.filter((retiring) => !ended.includes(retiring))
    for (const { held } of ended) this.#drop(token, held)
    this.#changed(token)
  }

  #index(token: Token, { key: signingKey, fingerprint }: HeldKey): void {
    const held = { key: signingKey, fingerprint }
    const key = indexKey(fingerprint)
    this.#holders.set(key, [...(this.#holders.get(key) ?? []), { token, held }])
  }

  #drop(token: Token, held: HeldKey): void {
    const key = indexKey(held.fingerprint)
    const rest = (this.#holders.get(key) ?? []).filter((holder) => holder.token !== token)
    if (rest.length > 0) this.#holders.set(key, rest)
    else this.#holders.delete(key)
    held.key.destroy()
  }

  #changed(token: Token): void {
    this.#publication?.publish(token)
    this.#advance()
  }

  #advance(): void {
    this.#generation = Math.max(this.#generation + 1, this.#now())
  }
}

function indexKey(fingerprint: Uint8Array): string {
  return Buffer.from(fingerprint.buffer, fingerprint.byteOffset, fingerprint.byteLength).toString(
    "latin1",
  )
}
