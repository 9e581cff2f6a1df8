/** A simulated Nitro Secure Module: what `/dev/nsm` answers, byte for byte, under a PKI of its own. */
import { randomBytes } from "node:crypto"
import type { NsmDevice } from "../../enclave/nsm/index.js"
import { MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES } from "../../enclave/nsm/index.js"
import { decodeNsmCbor, type NsmCborMap, type NsmCborValue } from "../../shared/attestation/cbor.js"
import {
  MAX_NONCE_BYTES,
  MAX_PUBLIC_KEY_BYTES,
  MAX_USER_DATA_BYTES,
  PCR_COUNT,
} from "../../shared/attestation/index.js"
import {
  encodeNsmCbor,
  encodePayload,
  type PayloadForm,
  payloadFields,
  signDocument,
} from "./document.js"
import { extendedPcr, PCR_BYTES } from "./measurements.js"
import type { Leaf, NitroPki } from "./pki.js"

/** PCRs below this are locked when an enclave starts. */
const LOCKED_AT_BOOT = 16
const RANDOM_BYTES = 256
/** A leaf is replaced this long before it ends, so that documents stay verifiable for a while. */
const RENEW_LEAF_BEFORE_MS = 30 * 60_000

/** The device's error codes (aws-nitro-enclaves-nsm-api, `ErrorCode`) that this one has a use for. */
type DeviceError =
  | "InvalidArgument"
  | "InvalidIndex"
  | "ReadOnlyIndex"
  | "InvalidOperation"
  | "InputTooLarge"
  | "InternalError"

export interface SimulatedNsmOptions {
  /** `i-` and 17 hex digits, `-enc` and 16 hex digits. */
  moduleId: string
  /** PCR0 to PCR15 as measured at the enclave's start, 48 bytes each; zero where not given. */
  pcrs: ReadonlyMap<number, Uint8Array>
  pki: NitroPki
  /** The hypervisor's clock. Default: the system's. */
  now?: () => Date
  /** Default: `indefinite`, as documents are today. */
  payloadForm?: PayloadForm
}

/** One enclave's NSM. */
export class SimulatedNsm implements NsmDevice {
  readonly #moduleId: string
  readonly #pki: NitroPki
  readonly #now: () => Date
  readonly #payloadForm: PayloadForm
  readonly #pcrs: { locked: boolean; value: Uint8Array }[]
  #leaf: Leaf | undefined
  #closed = false

  constructor(options: SimulatedNsmOptions) {
    for (const [index, value] of options.pcrs) checkBootPcr(index, value)
    this.#moduleId = options.moduleId
    this.#pki = options.pki
    this.#now = options.now ?? (() => new Date())
    this.#payloadForm = options.payloadForm ?? "indefinite"
    this.#pcrs = Array.from({ length: PCR_COUNT }, (_, index) => ({
      locked: index < LOCKED_AT_BOOT,
      value: Buffer.from(options.pcrs.get(index) ?? Buffer.alloc(PCR_BYTES)),
    }))
  }

  async transact(request: Uint8Array): Promise<Uint8Array> {
    if (this.#closed) throw systemError("EBADF")
    if (request.length > MAX_REQUEST_BYTES) throw systemError("EMSGSIZE")
    const response = await this.#answer(request)
    return encodeNsmCbor(response).subarray(0, MAX_RESPONSE_BYTES)
  }

  close(): void {
    this.#closed = true
  }

  /** Every outcome is a response, as the device's are. */
  async #answer(request: Uint8Array): Promise<unknown> {
    try {
      return await this.#dispatch(request)
    } catch (error) {
      const code: DeviceError = error instanceof Refusal ? error.code : "InternalError"
      return new Map([["Error", code]])
    }
  }

  async #dispatch(bytes: Uint8Array): Promise<unknown> {
    const { operation, fields } = readRequest(bytes)
    switch (operation) {
      case "DescribeNSM":
        return reply(operation, this.#describe())
      case "GetRandom":
        return reply(operation, { random: randomBytes(RANDOM_BYTES) })
      case "DescribePCR": {
        const pcr = this.#pcr(fields)
        return reply(operation, { lock: pcr.locked, data: pcr.value })
      }
      case "ExtendPCR": {
        const pcr = this.#unlockedPcr(fields)
        pcr.value = extendedPcr(pcr.value, requiredBytes(fields, "data"))
        return reply(operation, { data: pcr.value })
      }
      case "LockPCR":
        this.#unlockedPcr(fields).locked = true
        return operation
      case "LockPCRs":
        this.#lockBelow(requiredInteger(fields, "range"))
        return operation
      case "Attestation":
        return reply(operation, { document: await this.#attest(fields) })
      default:
        throw new Refusal("InvalidOperation")
    }
  }

  #describe(): Record<string, unknown> {
    return {
      version_major: 1,
      version_minor: 0,
      version_patch: 0,
      module_id: this.#moduleId,
      max_pcrs: PCR_COUNT,
      locked_pcrs: [...this.#lockedPcrs().keys()],
      digest: "SHA384",
    }
  }

  async #attest(fields: NsmCborMap): Promise<Uint8Array> {
    const publicKey = optionalBytes(fields, "public_key", MAX_PUBLIC_KEY_BYTES)
    const userData = optionalBytes(fields, "user_data", MAX_USER_DATA_BYTES)
    const nonce = optionalBytes(fields, "nonce", MAX_NONCE_BYTES)
    if (publicKey?.length === 0) throw new Refusal("InvalidArgument")
    const timestamp = this.#now()
    const pcrs = this.#lockedPcrs()
    const leaf = await this.#currentLeaf(timestamp)
    const content = { moduleId: this.#moduleId, timestamp, pcrs, publicKey, userData, nonce }
    const payload = encodePayload(payloadFields(content, leaf), this.#payloadForm)
    return signDocument(payload, leaf.privateKey)
  }

  async #currentLeaf(now: Date): Promise<Leaf> {
    const leaf = this.#leaf
    const until = (leaf?.notAfter.getTime() ?? 0) - RENEW_LEAF_BEFORE_MS
    if (leaf !== undefined && now >= leaf.notBefore && now.getTime() <= until) return leaf
    this.#leaf = await this.#pki.issueLeaf(this.#moduleId, now)
    return this.#leaf
  }

  #lockedPcrs(): Map<number, Uint8Array> {
    return new Map(
      [...this.#pcrs.entries()]
        .filter(([, pcr]) => pcr.locked)
        .map(([index, pcr]) => [index, pcr.value]),
    )
  }

  #lockBelow(range: number): void {
    if (range > PCR_COUNT) throw new Refusal("InvalidArgument")
    for (const pcr of this.#pcrs.slice(0, range)) pcr.locked = true
  }

  #pcr(fields: NsmCborMap): { locked: boolean; value: Uint8Array } {
    const pcr = this.#pcrs[requiredInteger(fields, "index")]
    if (pcr === undefined) throw new Refusal("InvalidIndex")
    return pcr
  }

  #unlockedPcr(fields: NsmCborMap): { locked: boolean; value: Uint8Array } {
    const pcr = this.#pcr(fields)
    if (pcr.locked) throw new Refusal("ReadOnlyIndex")
    return pcr
  }
}

/** A request that the device answers with an error. */
class Refusal extends Error {
  readonly code: DeviceError

  constructor(code: DeviceError) {
    super(code)
    this.code = code
  }
}

function readRequest(bytes: Uint8Array): { operation: string; fields: NsmCborMap } {
  const request = decodeOrRefuse(bytes)
  if (typeof request === "string") return { operation: request, fields: new Map() }
  const [entry, ...more] = request instanceof Map ? [...(request as NsmCborMap)] : []
  const [operation, fields] = entry ?? []
  if (typeof operation !== "string" || !(fields instanceof Map) || more.length > 0) {
    throw new Refusal("InvalidArgument")
  }
  return { operation, fields }
}

function decodeOrRefuse(bytes: Uint8Array): NsmCborValue {
  try {
    return decodeNsmCbor(bytes)
  } catch {
    throw new Refusal("InvalidArgument")
  }
}

function reply(operation: string, fields: Record<string, unknown>): unknown {
  return new Map([[operation, new Map(Object.entries(fields))]])
}

function requiredInteger(fields: NsmCborMap, name: string): number {
  const value = fields.get(name)
  if (typeof value !== "number" || value < 0) throw new Refusal("InvalidArgument")
  return value
}

function requiredBytes(fields: NsmCborMap, name: string): Uint8Array {
  const value = fields.get(name)
  if (!(value instanceof Uint8Array)) throw new Refusal("InvalidArgument")
  return value
}

function optionalBytes(fields: NsmCborMap, name: string, max: number): Uint8Array | null {
  if ((fields.get(name) ?? null) === null) return null
  const value = requiredBytes(fields, name)
  if (value.length > max) throw new Refusal("InputTooLarge")
  return value
}

function checkBootPcr(index: number, value: Uint8Array): void {
  if (!Number.isInteger(index) || index < 0 || index >= LOCKED_AT_BOOT) {
    throw new RangeError(`PCR${index} is not measured at an enclave's start`)
  }
  if (value.length !== PCR_BYTES) throw new RangeError(`PCR${index} is not ${PCR_BYTES} bytes`)
}

function systemError(code: "EBADF" | "EMSGSIZE"): Error {
  return Object.assign(new Error(`${code}: the NSM's driver refused the request`), { code })
}
