/** The Nitro Secure Module as the enclave uses it: typed requests over a byte-level device. */

import type { NsmCborMap } from "../../shared/attestation/cbor.js"
import type { NsmDevice } from "./device.js"
import { NsmError } from "./errors.js"
import {
  type AttestationRequest,
  attestation,
  DESCRIBE_NSM,
  describePcr,
  encodeRequest,
  extendPcr,
  GET_RANDOM,
  lockPcr,
  lockPcrs,
  type NsmRequest,
  operationOf,
} from "./requests.js"
import {
  decodeResponse,
  type NsmDescription,
  type PcrDescription,
  readAcknowledgement,
  readDescription,
  readDocument,
  readExtension,
  readPcrDescription,
  readRandom,
} from "./responses.js"

export type { NsmDevice } from "./device.js"

/**
 * A client of one NSM. Limits are checked before a request is sent, every response against what was
 * asked. All methods reject with {@link NsmError}; nothing is retried.
 *
 * @see aws-nitro-enclaves-nsm-api, src/api/mod.rs
 */
export class Nsm {
  readonly #device: NsmDevice

  constructor(device: NsmDevice) {
    this.#device = device
  }

  async describe(): Promise<NsmDescription> {
    return readDescription(await this.#ask(DESCRIBE_NSM))
  }

  /** @param index - 0 to 31, else `invalid-index`. */
  async describePcr(index: number): Promise<PcrDescription> {
    return readPcrDescription(await this.#ask(describePcr(index)))
  }

  /**
   * Sets a PCR to SHA-384(old value ‖ data).
   *
   * @param index - 16 to 31: the lower ones are locked at boot (`read-only-index`).
   * @returns The new value, 48 bytes.
   */
  async extendPcr(index: number, data: Uint8Array): Promise<Uint8Array> {
    return readExtension(await this.#ask(extendPcr(index, data)))
  }

  /** Locks a PCR: it can't be extended any more and appears in documents from now on. */
  async lockPcr(index: number): Promise<void> {
    readAcknowledgement(await this.#ask(lockPcr(index)), "LockPCR")
  }

  /** Locks the PCRs 0 to `range` - 1. */
  async lockPcrs(range: number): Promise<void> {
    readAcknowledgement(await this.#ask(lockPcrs(range)), "LockPCRs")
  }

  /**
   * Asks for an attestation document.
   *
   * @returns The document: CBOR COSE_Sign1 signed with ES384, not encrypted, 4 to 7 kB.
   * @throws {@link NsmError} `input-too-large` if a field exceeds its limit, `invalid-argument` for
   *   an empty public key, or the device's own code.
   */
  async attest(request: AttestationRequest = {}): Promise<Uint8Array> {
    return readDocument(await this.#ask(attestation(request)))
  }

  /** Random bytes of the NSM's generator: 256 of them. */
  async random(): Promise<Uint8Array> {
    return readRandom(await this.#ask(GET_RANDOM))
  }

  async #ask(request: NsmRequest): Promise<NsmCborMap | null> {
    const operation = operationOf(request)
    const bytes = encodeRequest(request)
    let response: Uint8Array
    try {
      response = await this.#device.transact(bytes)
    } catch (cause) {
      throw new NsmError("device-failed", `the NSM did not answer ${operation}`, { cause })
    }
    return decodeResponse(response, operation)
  }
}
