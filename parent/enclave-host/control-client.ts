/** The agent's side of the control service: one connection, requests by id, closed when it breaks. */
import type { Duplex } from "node:stream"
import type { z } from "zod"
import type { Address } from "../../shared/address.js"
import type { CborValue } from "../../shared/cbor.js"
import { MAX_FRAME_BYTES } from "../../shared/frame.js"
import { FramedStream } from "../../shared/framed-stream.js"
import {
  type ControlAnswer,
  type ControlCredentials,
  type ControlOp,
  decodeControlAnswer,
  type EnclaveDescription,
  enclaveDescriptionSchema,
  encodeControlRequest,
  type ProvisionRequest,
  type TokenDescription,
  tokenDescriptionSchema,
} from "../../shared/protocol/control.js"
import { PROTOCOL_VERSION } from "../../shared/protocol/limits.js"
import { connect, type TransportOptions } from "../../shared/transport/transport.js"
import { controlRefusal } from "../control-refusal.js"
import { AgentError } from "../errors.js"

interface Pending {
  resolve(answer: ControlAnswer): void
  reject(error: Error): void
  timer: NodeJS.Timeout
}

/** Provisioning and refreshing wait for KMS, three attempts of up to 10 s; the rest is at hand. */
const ANSWER_TIMEOUT_MS: Readonly<Record<ControlOp, number>> = {
  hello: 5_000,
  describe: 5_000,
  provision: 45_000,
  refresh: 45_000,
  remove: 5_000,
  activate: 5_000,
  retire: 5_000,
  drain: 5_000,
}

/** Far more tokens than an enclave takes: a description that goes on beyond is broken. */
const MAX_DESCRIBED_TOKENS = 16_384

export class ControlClient {
  readonly #stream: FramedStream
  readonly #pending = new Map<number, Pending>()
  #nextId = 1
  #open = true
  /** Resolves when the connection is gone, for whatever reason. */
  readonly closed: Promise<void>

  private constructor(stream: Duplex) {
    let onClosed: () => void = () => {}
    this.closed = new Promise((resolve) => {
      onClosed = resolve
    })
    this.#stream = new FramedStream(stream, {
      payload: (payload) => this.#receive(Buffer.from(payload)),
      broken: () => this.#stream.destroy(),
      closed: () => {
        this.#open = false
        for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(unreachable())
        onClosed()
      },
    })
  }

  /**
   * Connects and proves to be the enclave's owner, or becomes it.
   *
   * @throws CodedError of the transport; AgentError `enclave-unreachable`, `control-timeout`, or
   *   the enclave's code, `not-owner` foremost
   */
  static async connect(
    address: Address,
    secret: Uint8Array,
    transport: TransportOptions,
  ): Promise<ControlClient> {
    const client = new ControlClient(await connect(address, transport))
    try {
      await client.#request("hello", { version: PROTOCOL_VERSION, secret })
      return client
    } catch (error) {
      client.close()
      throw error
    }
  }

  /** With all its tokens, which come in pages of one frame each. */
  async describe(): Promise<EnclaveDescription> {
    const page = (offset: number): Promise<EnclaveDescription> =>
      this.#checked(enclaveDescriptionSchema, "describe", { offset })
    let description = await page(0)
    let last = description
    while (last.tokens.length > 0) {
      last = await page(description.tokens.length)
      // A token more or less since the page before: the offsets are no longer the same.
      if (last.generation !== description.generation) return this.describe()
      if (description.tokens.length >= MAX_DESCRIBED_TOKENS) throw endless()
      description = { ...description, tokens: [...description.tokens, ...last.tokens] }
    }
    return description
  }

  /** @throws AgentError with the enclave's code */
  provision(request: ProvisionRequest): Promise<TokenDescription> {
    return this.#checked(tokenDescriptionSchema, "provision", { ...request })
  }

  refresh(label: string, credentials: ControlCredentials): Promise<TokenDescription> {
    return this.#checked(tokenDescriptionSchema, "refresh", { label, credentials })
  }

  async remove(label: string): Promise<void> {
    await this.#request("remove", { label })
  }

  /**
   * Makes the staged key the current one.
   *
   * @param fingerprint - SHA-256 of its SubjectPublicKeyInfo, hex
   */
  activate(label: string, fingerprint: string): Promise<TokenDescription> {
    const fields = { label, fingerprint: Buffer.from(fingerprint, "hex") }
    return this.#checked(tokenDescriptionSchema, "activate", fields)
  }

  /**
   * Destroys a key that a renewal replaced or has staged, where it still is there.
   *
   * @param fingerprint - SHA-256 of its SubjectPublicKeyInfo, hex
   */
  async retire(label: string, fingerprint: string): Promise<void> {
    await this.#request("retire", { label, fingerprint: Buffer.from(fingerprint, "hex") })
  }

  /** Has the enclave send its signing connections elsewhere; there is no way back. */
  async drain(): Promise<void> {
    await this.#request("drain", {})
  }

  get isOpen(): boolean {
    return this.#open
  }

  close(): void {
    this.#stream.destroy()
  }

  async #checked<Schema extends z.ZodType>(
    schema: Schema,
    op: ControlOp,
    fields?: CborValue,
  ): Promise<z.output<Schema>> {
    const parsed = schema.safeParse(await this.#request(op, fields))
    if (parsed.success) return parsed.data
    throw new AgentError("control-protocol", `the enclave's answer to ${op} is malformed`, {
      advice: "Run an enclave image of this agent's version.",
      cause: parsed.error,
    })
  }

  async #request(op: ControlOp, fields?: CborValue): Promise<unknown> {
    if (!this.#open) throw unreachable()
    const id = this.#nextId++
    const payload = encodeControlRequest(id, op, fields)
    // Here, so that nothing is left pending: the stream would throw once it is.
    if (payload.length > MAX_FRAME_BYTES) throw controlRefusal("frame-too-large", {})
    const timeoutMs = ANSWER_TIMEOUT_MS[op]
    const answer = await new Promise<ControlAnswer>((resolve, reject) => {
      const timer = setTimeout(() => {
        const message = `the enclave did not answer ${op} in ${timeoutMs / 1_000} s`
        this.#settle(id)?.reject(new AgentError("control-timeout", message))
      }, timeoutMs)
      this.#pending.set(id, { resolve, reject, timer })
      this.#stream.send(payload)
    })
    if ("code" in answer) throw controlRefusal(answer.code, answer.detail)
    return answer.result
  }

  #receive(payload: Buffer): void {
    let answer: ControlAnswer
    try {
      answer = decodeControlAnswer(payload)
    } catch {
      this.#stream.destroy()
      return
    }
    this.#settle(answer.id)?.resolve(answer)
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    if (pending === undefined) return undefined
    clearTimeout(pending.timer)
    this.#pending.delete(id)
    return pending
  }
}

function endless(): AgentError {
  return new AgentError("control-protocol", "the enclave's description has no end", {
    advice: "Run an enclave image of this agent's version.",
  })
}

function unreachable(): AgentError {
  return new AgentError("enclave-unreachable", "the enclave closed the control connection")
}
