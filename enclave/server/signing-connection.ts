/** One connection of the signing service: hello, logins, and the requests in flight. */
import type { Duplex } from "node:stream"
import type { Logger } from "pino"
import { type CborValue, cborInteger } from "../../shared/cbor.js"
import { isCodedError } from "../../shared/errors.js"
import { FramedStream } from "../../shared/framed-stream.js"
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
import { listPage } from "./token-list.js"

export interface SigningDeps {
  store: TokenStore
  policy: UsagePolicy
  log: Logger
}

type SignRequest = Extract<SigningRequest, { op: "sign" }>
type LoginRequest = Extract<SigningRequest, { op: "login" }>

export class SigningConnection {
  readonly #deps: SigningDeps
  readonly #stream: FramedStream
  /** PINs proven here: the gate itself, so that a changed PIN needs a new login. */
  readonly #logins = new Set<PinGate>()
  readonly #helloTimer: NodeJS.Timeout
  #helloed = false
  #inFlight = 0
  #loginFailures = 0

  constructor(stream: Duplex, deps: SigningDeps, onClosed: () => void) {
    this.#deps = deps
    this.#helloTimer = setTimeout(() => this.#stream.destroy(), HELLO_TIMEOUT_MS)
    this.#stream = new FramedStream(stream, {
      payload: (payload) => this.#receive(payload),
      broken: (error) => {
        const tooLarge = error.code === "frame-too-large"
        this.#refuse(0, tooLarge ? "frame-too-large" : "malformed-request")
        this.#stream.close()
      },
      closed: () => {
        clearTimeout(this.#helloTimer)
        onClosed()
      },
    })
  }

  destroy(): void {
    this.#stream.destroy()
  }

  #receive(payload: Buffer): void {
    let request: SigningRequest
    try {
      request = decodeSigningRequest(payload)
    } catch (error) {
      const id = error instanceof SigningRefusal ? error.requestId : 0
      const early = !this.#helloed && isCodedError(error, "unknown-op")
      this.#fail(id, early ? helloRequired() : error)
      if (isCodedError(error, "malformed-cbor")) this.#stream.close()
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
      clearTimeout(this.#helloTimer)
      this.#answer(request.id, PROTOCOL_VERSION)
      return
    }
    if (!this.#helloed) throw helloRequired()
    switch (request.op) {
      case "sign":
        this.#sign(request)
        break
      case "login":
        this.#login(request)
        break
      case "list":
        this.#answer(request.id, listPage(store, policy, request.offset))
        break
      case "generation":
        this.#answer(request.id, cborInteger(store.generation))
        break
    }
  }

  #sign(request: SignRequest): void {
    const { token, held } = this.#authorize(request.fingerprint)
    const { key } = held
    const use = this.#admit(token, held, request)
    const count = (): void => {
      token.signatures.set(use.mechanism, (token.signatures.get(use.mechanism) ?? 0) + 1)
    }
    if (use.mechanism === "ECDSA") {
      // Some 25 µs: less than a trip to the thread pool and back.
      const signature = key.signSync(use.mechanism, use.data, use.pss)
      count()
      this.#answer(request.id, signature)
      return
    }
    key.sign(use.mechanism, use.data, use.pss, (error, signature) => {
      if (error === null) {
        count()
        this.#answer(request.id, signature)
      } else {
        this.#fail(request.id, error)
      }
      this.#finish()
    })
    // Behind the call, which throws where it will not call back.
    this.#begin()
  }

  /** The holder of a key that this connection has proven a PIN for. */
  #authorize(fingerprint: Uint8Array): { token: Token; held: HeldKey } {
    const holders = this.#deps.store.holdersOf(fingerprint)
    if (holders.length === 0) throw new SigningRefusal("unknown-key", "no such key")
    const holder = holders.find(({ token }) => this.#logins.has(token.pin))
    if (holder === undefined) throw new SigningRefusal("login-required", "no login to the token")
    return holder
  }

  #admit(token: Token, held: HeldKey, request: SignRequest): ReturnType<UsagePolicy["admit"]> {
    try {
      return this.#deps.policy.admit(held.key, request)
    } catch (error) {
      token.refusals++
      throw error
    }
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
          this.#answer(id, null)
          return
        }
        if (outcome === "busy") throw new SigningRefusal("busy", "too many logins are waiting")
        this.#deps.log.info({ tokenLabel: label }, "login refused: wrong PIN")
        token.refusals++
        this.#refuse(id, "pin-incorrect")
        if (++this.#loginFailures >= MAX_LOGIN_FAILURES) this.#stream.close()
      })
      .catch((error: unknown) => this.#fail(id, error))
      .finally(() => this.#finish())
  }

  #begin(): void {
    if (++this.#inFlight >= MAX_IN_FLIGHT) this.#stream.pause()
  }

  #finish(): void {
    if (this.#inFlight-- === MAX_IN_FLIGHT) this.#stream.resume()
  }

  #answer(id: number, result: CborValue): void {
    this.#stream.send(encodeSigningResult(id, result))
  }

  #refuse(id: number, code: SigningErrorCode): void {
    this.#stream.send(encodeSigningError(id, code))
  }

  /** Answers a failure: a refusal by its code, anything unforeseen as `internal`. */
  #fail(id: number, error: unknown): void {
    if (error instanceof SigningRefusal) {
      this.#deps.log.debug({ code: error.code }, "signing request refused")
      this.#refuse(id, error.code)
    } else if (isCodedError(error, "malformed-cbor")) {
      this.#refuse(id, "malformed-request")
    } else {
      this.#deps.log.error({ err: error }, "signing request failed")
      this.#refuse(id, "internal")
    }
  }
}

function helloRequired(): SigningRefusal {
  return new SigningRefusal("hello-required", "no hello yet")
}
