/** One connection of the control service: proves to be the owner's, then manages tokens. */
import type { Duplex } from "node:stream"
import type { Logger } from "pino"
import type { z } from "zod"
import { isCodedError } from "../../shared/errors.js"
import { FramedStream } from "../../shared/framed-stream.js"
import {
  activateSchema,
  ControlError,
  type ControlRequest,
  decodeControlRequest,
  describeSchema,
  encodeControlError,
  encodeControlResult,
  helloSchema,
  provisionSchema,
  refreshSchema,
  removeSchema,
  retireSchema,
} from "../../shared/protocol/control.js"
import type { ControlCode } from "../../shared/protocol/control-codes.js"
import { HELLO_TIMEOUT_MS, PROTOCOL_VERSION } from "../../shared/protocol/limits.js"
import type { Describe } from "../description.js"
import type { Ownership } from "../ownership.js"
import type { Provisioner } from "../token/provisioner.js"
import { describeToken, type Token } from "../token/token.js"
import type { TokenStore } from "../token/token-store.js"
import type { Service } from "./serve.js"

export interface ControlDeps {
  ownership: Ownership
  provisioner: Provisioner
  store: TokenStore
  signing: Pick<Service, "drain">
  describe: Describe
  log: Logger
}

/** Requests at work on one connection; the next waits unread. */
const MAX_CONTROL_IN_FLIGHT = 16

export class ControlConnection {
  readonly #deps: ControlDeps
  readonly #stream: FramedStream
  readonly #helloTimer: NodeJS.Timeout
  #owner = false
  #inFlight = 0

  constructor(stream: Duplex, deps: ControlDeps, onClosed: () => void) {
    this.#deps = deps
    this.#helloTimer = setTimeout(() => this.#stream.destroy(), HELLO_TIMEOUT_MS)
    this.#stream = new FramedStream(stream, {
      payload: (payload) => void this.#receive(payload),
      broken: (error) => {
        const tooLarge = error.code === "frame-too-large"
        this.#fail(0, new ControlError(tooLarge ? "frame-too-large" : "malformed-request", "frame"))
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

  async #receive(payload: Buffer): Promise<void> {
    let request: ControlRequest
    try {
      // The request outlives the call: its byte strings are views of the payload.
      request = decodeControlRequest(Buffer.from(payload))
    } catch (error) {
      const unreadable = isCodedError(error, "malformed-cbor")
      const id = error instanceof ControlError ? error.requestId : 0
      const early = !this.#owner && isCodedError(error, "unknown-op")
      this.#fail(id, early ? helloRequired() : error)
      if (unreadable) this.#stream.close()
      return
    }
    if (++this.#inFlight >= MAX_CONTROL_IN_FLIGHT) this.#stream.pause()
    try {
      this.#stream.send(encodeControlResult(request.id, await this.#dispatch(request)))
    } catch (error) {
      this.#fail(request.id, error)
      if (isCodedError(error, "not-owner")) this.#stream.close()
    } finally {
      if (this.#inFlight-- === MAX_CONTROL_IN_FLIGHT) this.#stream.resume()
    }
  }

  async #dispatch({ op, fields }: ControlRequest): Promise<unknown> {
    const { provisioner, store, signing, describe, log } = this.#deps
    if (op === "hello") return this.#hello(fields)
    if (!this.#owner) throw helloRequired()
    switch (op) {
      case "describe":
        return describe(parse(describeSchema, fields).offset)
      case "provision": {
        const token = await provisioner.provision(parse(provisionSchema, fields))
        this.#log(token, "token provisioned")
        return describeToken(token)
      }
      case "refresh": {
        const { label, credentials } = parse(refreshSchema, fields)
        const token = await provisioner.refresh(label, credentials)
        this.#log(token, "token refreshed")
        return describeToken(token)
      }
      case "remove": {
        const token = this.#token(parse(removeSchema, fields).label)
        store.remove(token)
        this.#log(token, "token removed")
        return null
      }
      case "activate": {
        const { label, fingerprint } = parse(activateSchema, fields)
        const token = this.#token(label)
        store.activate(token, fingerprint)
        this.#log(token, "staged key is the current one")
        return describeToken(token)
      }
      case "retire": {
        const { label, fingerprint } = parse(retireSchema, fields)
        const token = this.#token(label)
        if (store.retire(token, fingerprint)) this.#log(token, "former key destroyed")
        return null
      }
      case "drain":
        signing.drain()
        log.info("signing service draining")
        return null
    }
  }

  #token(label: string): Token {
    const token = this.#deps.store.get(label)
    if (token === undefined) throw new ControlError("unknown-token", "no such token")
    return token
  }

  #hello(fields: unknown): { version: number } {
    const { secret } = parse(helloSchema, fields)
    this.#deps.ownership.prove(secret)
    this.#owner = true
    clearTimeout(this.#helloTimer)
    return { version: PROTOCOL_VERSION }
  }

  #log(token: Token, event: string): void {
    const { fingerprint, keyId } = token.current
    const of = { tokenLabel: token.label, fingerprint: fingerprint.toString("hex"), keyId }
    this.#deps.log.info(of, event)
  }

  /** Every outcome, a bug of ours included, is a well-formed answer. */
  #fail(requestId: number, error: unknown): void {
    const reply = toControlError(error, requestId)
    if (reply.code === "internal") this.#deps.log.error({ err: error }, "control request failed")
    else this.#deps.log.warn({ code: reply.code, detail: reply.detail }, "control request refused")
    this.#stream.send(encodeControlError(reply))
  }
}

function helloRequired(): ControlError {
  return new ControlError("hello-required", "no hello yet")
}

function toControlError(error: unknown, requestId: number): ControlError {
  const { code, detail } =
    error instanceof ControlError
      ? error
      : { code: unforeseenCode(error), detail: {} as Record<string, string> }
  return new ControlError(code, "refused", { detail: { ...detail }, requestId })
}

function unforeseenCode(error: unknown): ControlCode {
  return isCodedError(error, "malformed-cbor") ? "malformed-request" : "internal"
}

/** Which code says that a field is wrong, by the field's name. */
const FIELD_CODES: Readonly<Record<string, ControlCode>> = {
  label: "malformed-label",
  pin: "malformed-pin",
  certificates: "malformed-certificate",
  keyId: "malformed-key-id",
}

function parse<Schema extends z.ZodType>(schema: Schema, fields: unknown): z.output<Schema> {
  const parsed = schema.safeParse(fields)
  if (parsed.success) return parsed.data
  const field = String(parsed.error.issues[0]?.path[0] ?? "")
  // The field's name only: an issue's text may quote the value.
  throw new ControlError(FIELD_CODES[field] ?? "malformed-request", "a field is malformed", {
    detail: { field },
  })
}
