/** A control service for tests: the enclave's wire, with answers that the test chooses. */
import { rm } from "node:fs/promises"
import type { Duplex } from "node:stream"
import { type Address, parseAddress } from "../../shared/address.js"
import { encodeCbor } from "../../shared/cbor.js"
import { FramedStream } from "../../shared/framed-stream.js"
import {
  ControlError,
  type ControlRequest,
  decodeControlRequest,
  type EnclaveDescription,
  encodeControlError,
  encodeControlResult,
  type TokenDescription,
} from "../../shared/protocol/control.js"
import type { ControlCode } from "../../shared/protocol/control-codes.js"
import { type Listener, listen } from "../../shared/transport/transport.js"

/** How one request is answered. */
export interface Answer {
  result(value: unknown): void
  refuse(code: ControlCode, detail?: Record<string, string>): void
  /** Any payload in a frame. */
  raw(payload: Uint8Array): void
  /** Bytes that are no frame. */
  bytes(bytes: Uint8Array): void
  hangUp(): void
}

export type Handler = (request: ControlRequest, answer: Answer) => void

export const PCR0 = "ab".repeat(48)

export function enclaveDescription(change: Partial<EnclaveDescription> = {}): EnclaveDescription {
  return {
    version: "0.1.0",
    moduleId: "i-0123456789abcdef0-enc0123456789abcdef",
    pcrs: { "0": PCR0 },
    debug: false,
    phase: "claimed",
    policy: "tls-server",
    bootedAt: Date.now() - 1_000,
    now: Date.now(),
    generation: 1,
    connections: { open: 0, accepted: 0 },
    latency: { bounds: [], counts: [], count: 0, sum: 0 },
    draining: false,
    tokens: [],
    ...change,
  }
}

export function tokenDescription(change: Partial<TokenDescription> = {}): TokenDescription {
  return {
    label: "www",
    fingerprint: "00".repeat(32),
    certificateFingerprint: "00".repeat(32),
    keyType: "P-256",
    keyId: "arn:aws:kms:us-east-1:123456789012:key/k",
    attestedAt: Date.now(),
    expiresAt: Date.now() + 48 * 3_600_000,
    nextFingerprint: null,
    retiringFingerprints: [],
    signatures: {},
    refusals: 0,
    failures: 0,
    ...change,
  }
}

export class ControlServer {
  readonly address: Address
  readonly requests: ControlRequest[] = []
  readonly #path: string
  readonly #listener: Listener
  readonly #streams = new Set<Duplex>()

  private constructor(path: string, listener: Listener) {
    this.#path = path
    this.address = parseAddress(`unix:${path}`)
    this.#listener = listener
  }

  /** Listens on a Unix socket. `hello` is answered unless `handler` is told to see it. */
  static async start(
    path: string,
    handler: Handler,
    options: { ownHello?: boolean } = {},
  ): Promise<ControlServer> {
    const accepted: { server?: ControlServer } = {}
    const listener = await listen(parseAddress(`unix:${path}`), (stream) => {
      accepted.server?.accept(stream, handler, options.ownHello ?? false)
    })
    accepted.server = new ControlServer(path, listener)
    return accepted.server
  }

  accept(stream: Duplex, handler: Handler, ownHello: boolean): void {
    this.#streams.add(stream)
    const framed = new FramedStream(stream, {
      payload: (payload) => {
        const request = decodeControlRequest(Buffer.from(payload))
        this.requests.push(request)
        const answer = answerTo(request, framed, stream)
        if (request.op === "hello" && !ownHello) answer.result({ version: 1 })
        else handler(request, answer)
      },
      broken: () => stream.destroy(),
      closed: () => this.#streams.delete(stream),
    })
  }

  async stop(): Promise<void> {
    await this.#listener.close()
    for (const stream of this.#streams) stream.destroy()
    await rm(this.#path, { force: true })
  }
}

function answerTo({ id }: ControlRequest, framed: FramedStream, stream: Duplex): Answer {
  return {
    result: (value) => framed.send(encodeControlResult(id, value)),
    refuse: (code, detail = {}) => {
      framed.send(encodeControlError(new ControlError(code, "", { requestId: id, detail })))
    },
    raw: (payload) => framed.send(payload),
    bytes: (bytes) => stream.write(bytes),
    hangUp: () => stream.destroy(),
  }
}

/** A refusal with a code that no version has yet. */
export function futureRefusal(id: number): Buffer {
  return encodeCbor([id, "moon-phase", {}])
}
