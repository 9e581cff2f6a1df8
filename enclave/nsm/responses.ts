/** Decodes the responses of the NSM, strictly: exactly the fields asked for, each of its type. */

import { decodeNsmCbor, type NsmCborMap, type NsmCborValue } from "../../shared/attestation/cbor.js"
import { MAX_DOCUMENT_BYTES, PCR_COUNT } from "../../shared/attestation/index.js"
import { DEVICE_ERROR_CODES, NsmError } from "./errors.js"

/** SHA-384, which all PCRs are made with. */
const PCR_BYTES = 48
/** Largest answer of GetRandom; the device gives as many. */
const MAX_RANDOM_BYTES = 256
const MAX_U16 = 0xffff

/** The NSM, by its own description. */
export interface NsmDescription {
  versionMajor: number
  versionMinor: number
  versionPatch: number
  /** Such as `i-0123456789abcdef0-enc0123456789abcdef`; the same as in documents. */
  moduleId: string
  maxPcrs: number
  /** Indexes in ascending order. */
  lockedPcrs: number[]
  digest: "SHA384"
}

/** A PCR's state; `value` is 48 bytes. */
export interface PcrDescription {
  locked: boolean
  value: Uint8Array
}

/** The fields of a response, or null for one that has none, or the device's error as an NsmError. */
export function decodeResponse(bytes: Uint8Array, operation: string): NsmCborMap | null {
  const response = decodeItem(bytes)
  if (response === operation) return null
  if (!(response instanceof Map) || response.size !== 1) throw malformed(operation)
  const error = response.get("Error")
  if (error !== undefined) throw deviceError(operation, error)
  const fields: NsmCborValue | undefined = response.get(operation)
  if (!(fields instanceof Map)) throw malformed(operation)
  return fields
}

export function readDescription(fields: NsmCborMap | null): NsmDescription {
  const response = new Response("DescribeNSM", fields, 7)
  if (response.text("digest") !== "SHA384") throw malformed("DescribeNSM")
  return {
    versionMajor: response.u16("version_major"),
    versionMinor: response.u16("version_minor"),
    versionPatch: response.u16("version_patch"),
    moduleId: response.text("module_id"),
    maxPcrs: response.u16("max_pcrs"),
    lockedPcrs: response.indexes("locked_pcrs"),
    digest: "SHA384",
  }
}

export function readPcrDescription(fields: NsmCborMap | null): PcrDescription {
  const response = new Response("DescribePCR", fields, 2)
  return { locked: response.flag("lock"), value: response.bytes("data", PCR_BYTES, PCR_BYTES) }
}

/** The PCR's new value. */
export function readExtension(fields: NsmCborMap | null): Uint8Array {
  return new Response("ExtendPCR", fields, 1).bytes("data", PCR_BYTES, PCR_BYTES)
}

export function readDocument(fields: NsmCborMap | null): Uint8Array {
  return new Response("Attestation", fields, 1).bytes("document", 1, MAX_DOCUMENT_BYTES)
}

export function readRandom(fields: NsmCborMap | null): Uint8Array {
  return new Response("GetRandom", fields, 1).bytes("random", 1, MAX_RANDOM_BYTES)
}

/** @param operation - LockPCR or LockPCRs, whose responses are their bare names. */
export function readAcknowledgement(fields: NsmCborMap | null, operation: string): void {
  if (fields !== null) throw malformed(operation)
}

/** Typed access to a response's fields. */
class Response {
  readonly #operation: string
  readonly #fields: NsmCborMap

  constructor(operation: string, fields: NsmCborMap | null, count: number) {
    if (fields?.size !== count) throw malformed(operation)
    this.#operation = operation
    this.#fields = fields
  }

  u16(name: string): number {
    return this.#u16(this.#fields.get(name))
  }

  text(name: string): string {
    const value = this.#fields.get(name)
    if (typeof value !== "string" || value === "") throw malformed(this.#operation)
    return value
  }

  flag(name: string): boolean {
    const value = this.#fields.get(name)
    if (typeof value !== "boolean") throw malformed(this.#operation)
    return value
  }

  bytes(name: string, min: number, max: number): Uint8Array {
    const value = this.#fields.get(name)
    if (!(value instanceof Uint8Array) || value.length < min || value.length > max) {
      throw malformed(this.#operation)
    }
    return value
  }

  /** Distinct PCR indexes; the device sends a set. */
  indexes(name: string): number[] {
    const value = this.#fields.get(name)
    if (!Array.isArray(value) || value.length > PCR_COUNT) throw malformed(this.#operation)
    const indexes = new Set(value.map((index) => this.#u16(index)))
    if (indexes.size !== value.length) throw malformed(this.#operation)
    return [...indexes].sort((a, b) => a - b)
  }

  #u16(value: NsmCborValue | undefined): number {
    if (typeof value !== "number" || value < 0 || value > MAX_U16) throw malformed(this.#operation)
    return value
  }
}

function decodeItem(bytes: Uint8Array): NsmCborValue {
  try {
    return decodeNsmCbor(bytes)
  } catch (cause) {
    // Also where a response longer than the driver's buffer ends up: it arrives cut.
    throw new NsmError("malformed-response", "the NSM's response is not readable CBOR", { cause })
  }
}

function deviceError(operation: string, error: NsmCborValue): NsmError {
  const known = Object.entries(DEVICE_ERROR_CODES).find(([name]) => name === error)
  if (known === undefined) return malformed(operation)
  const [name, code] = known
  return new NsmError(code, `the NSM refused ${operation}: ${name}`)
}

function malformed(operation: string): NsmError {
  return new NsmError("malformed-response", `the NSM's response is not one to ${operation}`)
}
