/**
 * One connection of the signing service: hello, logins, and every request but the signatures that the
 * threads behind the channel make by themselves. What these do not admit arrives here too: to be refused
 * by its name, or to be signed if they were not yet told that it may be.
 */
import { randomBytes } from "node:crypto"
import type { Logger } from "pino"
import {
  type EndReason,
  isAddonError,
  type SigningChannel,
  type SigningChannelHandlers,
  type SigningKey,
} from "../../native/addon/index.js"
import { type CborValue, cborInteger } from "../../shared/cbor.js"
import { isCodedError } from "../../shared/errors.js"
import {
  HELLO_TIMEOUT_MS,
  MAX_IN_FLIGHT,
  MAX_LOGIN_FAILURES,
  PROTOCOL_VERSION,
} from "../../shared/protocol/limits.js"
import {
  decodeSigningRequest,
  encodeSigningError,
  encodeSigningResult,
  SigningRefusal,
  type SigningRequest,
} from "../../shared/protocol/signing.js"
import type { SigningErrorCode } from "../../shared/protocol/signing-status.js"
import type { UsagePolicy } from "../policy/usage-policy.js"
import type { PinGate } from "../token/pin.js"
import type { HeldKey, Token } from "../token/token.js"
import type { TokenStore } from "../token/token-store.js"
import type { LatencyMeter } from "./latency.js"
import { listPage } from "./token-list.js"

export interface SigningDeps {
  store: TokenStore
  policy: UsagePolicy
  latency: LatencyMeter
  log: Logger
}

/** The way back to the client. */
export type Channel = Pick<SigningChannel, keyof SigningChannel>

type KeyRequest = Extract<SigningRequest, { op: "sign" | "decrypt" }>
type LoginRequest = Extract<SigningRequest, { op: "login" }>

export class SigningConnection {
  readonly #deps: SigningDeps
  readonly #channel: Channel
  /** PINs proven here: the gate itself, so that a changed PIN needs a new login. */
  readonly #logins = new Set<PinGate>()
  readonly #helloTimer: NodeJS.Timeout
  #helloed = false
  #inFlight = 0
  #loginFailures = 0
  #draining = false

  /**
   * @param adopt - makes a channel of the connection, which calls these handlers from the next turn of
   *   the event loop on
   */
  constructor(
    adopt: (handlers: SigningChannelHandlers) => Channel,
    deps: SigningDeps,
    onClosed: () => void,
  ) {
    this.#deps = deps
    this.#channel = adopt({
      payload: (payload) => this.#receive(payload),
      ended: (reason) => this.#ended(reason),
      closed: () => {
        clearTimeout(this.#helloTimer)
        onClosed()
      },
    })
    this.#helloTimer = setTimeout(() => this.#channel.destroy(), HELLO_TIMEOUT_MS)
  }

  destroy(): void {
    this.#channel.destroy()
  }

  /** Closes as soon as nothing is in flight: the client finds the service elsewhere. */
  drain(): void {
    this.#draining = true
    if (this.#inFlight === 0) this.#channel.close()
  }

  #ended(reason: EndReason): void {
    if (reason !== "ended") {
      this.#refuse(0, reason === "frame-too-large" ? "frame-too-large" : "malformed-request")
    }
    this.#channel.close()
  }

  #receive(payload: Buffer): void {
    let request: SigningRequest
    try {
      request = decodeSigningRequest(payload)
    } catch (error) {
      const id = error instanceof SigningRefusal ? error.requestId : 0
      const early = !this.#helloed && isCodedError(error, "unknown-op")
      this.#fail(id, early ? helloRequired() : error)
      if (isCodedError(error, "malformed-cbor")) this.#channel.close()
      return
    }
    try {
      this.#serve(request)
    } catch (error) {
      this.#fail(request.id, error)
    }
  }

  #serve(request: SigningRequest): void {
    const { store, policy } = this.#deps
    if (request.op === "hello") {
      this.#helloed = true
      this.#channel.greet()
      clearTimeout(this.#helloTimer)
      this.#answer(request.id, PROTOCOL_VERSION)
      return
    }
    if (!this.#helloed) throw helloRequired()
    switch (request.op) {
      case "sign":
      case "decrypt":
        this.#useKey(request)
        break
      case "login":
        this.#login(request)
        break
      case "random":
        this.#answer(request.id, randomBytes(request.length))
        break
      case "list":
        this.#answer(request.id, listPage(store, policy, request.offset))
        break
      case "generation":
        this.#answer(request.id, cborInteger(store.generation))
        break
    }
  }

  #useKey(request: KeyRequest): void {
    const { token, held } = this.#authorize(request.fingerprint)
    try {
      if (request.op === "sign") this.#sign(token, held.key, request)
      else this.#decrypt(token, held.key, request)
    } catch (error) {
      countMiss(token, error)
      throw error
    }
  }

  #sign(token: Token, key: SigningKey, request: KeyRequest): void {
    const { policy, latency } = this.#deps
    const startedAt = performance.now()
    const use = policy.admit(key, request)
    if (use.mechanism === "ECDSA") {
      // Some 25 µs: less than a trip to the thread pool and back.
      const signature = key.signSync(use.mechanism, use.data, use.pss)
      count(token.signatures, use.mechanism)
      this.#answer(request.id, signature)
      latency.observe(startedAt)
      return
    }
    key.sign(use.mechanism, use.data, use.pss, (error, signature) => {
      if (error === null) count(token.signatures, use.mechanism)
      this.#finishKeyUse(request.id, token, error, signature)
      latency.observe(startedAt)
    })
    // Behind the call, which throws where it will not call back.
    this.#begin()
  }

  #decrypt(token: Token, key: SigningKey, request: KeyRequest): void {
    const use = this.#deps.policy.admitDecrypt(key, request)
    key.decrypt(use.mechanism, use.data, use.oaep, (error, plaintext) => {
      if (error === null) count(token.decryptions, use.mechanism)
      this.#finishKeyUse(request.id, token, error, plaintext)
    })
    this.#begin()
  }

  #finishKeyUse(id: number, token: Token, error: Error | null, result: Uint8Array): void {
    if (error === null) {
      this.#answer(id, result)
    } else {
      countMiss(token, error)
      this.#fail(id, error)
    }
    this.#finish()
  }

  /** The holder of a key that this connection has proven a PIN for. */
  #authorize(fingerprint: Uint8Array): { token: Token; held: HeldKey } {
    const holders = this.#deps.store.holdersOf(fingerprint)
    if (holders.length === 0) throw new SigningRefusal("unknown-key", "no such key")
    const holder = holders.find(({ token }) => this.#logins.has(token.pin))
    if (holder === undefined) throw new SigningRefusal("login-required", "no login to the token")
    return holder
  }

  #login({ id, label, pin }: LoginRequest): void {
    const token = this.#deps.store.get(label)
    if (token === undefined) throw new SigningRefusal("unknown-token", "no such token")
    const gate = token.pin
    this.#begin()
    gate
      .check(pin)
      .then((outcome) => {
        if (outcome === "correct") {
          this.#logins.add(gate)
          this.#channel.prove(gate.id)
          this.#answer(id, null)
          return
        }
        if (outcome === "busy") throw new SigningRefusal("busy", "too many logins are waiting")
        this.#deps.log.info({ tokenLabel: label }, "login refused: wrong PIN")
        token.refusals++
        this.#refuse(id, "pin-incorrect")
        if (++this.#loginFailures >= MAX_LOGIN_FAILURES) this.#channel.close()
      })
      .catch((error: unknown) => this.#fail(id, error))
      .finally(() => this.#finish())
  }

  #begin(): void {
    if (++this.#inFlight >= MAX_IN_FLIGHT) this.#channel.pause()
  }

  #finish(): void {
    if (this.#inFlight-- === MAX_IN_FLIGHT) this.#channel.resume()
    if (this.#draining && this.#inFlight === 0) this.#channel.close()
  }

  #answer(id: number, result: CborValue): void {
    this.#channel.send(encodeSigningResult(id, result))
  }

  #refuse(id: number, code: SigningErrorCode): void {
    this.#channel.send(encodeSigningError(id, code))
  }

  /** Answers a failure: a refusal by its code, anything unforeseen as `internal`. */
  #fail(id: number, error: unknown): void {
    const code = refusalCode(error)
    if (code !== undefined) {
      this.#deps.log.debug({ code }, "signing request refused")
      this.#refuse(id, code)
    } else if (isCodedError(error, "malformed-cbor")) {
      this.#refuse(id, "malformed-request")
    } else {
      this.#deps.log.error({ err: error }, "signing request failed")
      this.#refuse(id, "internal")
    }
  }
}

/** What only the key can tell of a request: where its data stands to the modulus, a padding. */
const KEY_REFUSALS: ReadonlyMap<string, SigningErrorCode> = new Map([
  ["data-invalid", "data-refused"],
  ["encrypted-data-invalid", "encrypted-data-invalid"],
])

/** The status of a refusal, by the protocol, the policy or the key; undefined for a failure. */
function refusalCode(error: unknown): SigningErrorCode | undefined {
  if (error instanceof SigningRefusal) return error.code
  return isAddonError(error) ? KEY_REFUSALS.get(error.code) : undefined
}

function count(counters: Map<string, number>, mechanism: string): void {
  counters.set(mechanism, (counters.get(mechanism) ?? 0) + 1)
}

/** A request that brought nothing: refused, or failed for a reason of the enclave's own. */
function countMiss(token: Token, error: unknown): void {
  if (refusalCode(error) !== undefined) token.refusals++
  else token.failures++
}

function helloRequired(): SigningRefusal {
  return new SigningRefusal("hello-required", "no hello yet")
}
