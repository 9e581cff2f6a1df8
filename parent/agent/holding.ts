/**
 * What one enclave holds of one token, and how it comes to hold what it should: the key that the web
 * server's files name as the current one, a renewal's key staged beside it until the files name that.
 */
import type { LimitFunction } from "p-limit"
import type { Logger } from "pino"
import type { ControlCredentials, TokenDescription } from "../../shared/protocol/control.js"
import {
  DENIAL_CONTROL_CODES,
  isControlCode,
  PASSING_CONTROL_CODES,
} from "../../shared/protocol/control-codes.js"
import { fingerprintOf, publicKeyOf } from "../../shared/public-key.js"
import type { OwnedEnclave } from "../enclave-host/enclave-host.js"
import { AgentError, errorFields } from "../errors.js"
import type { KeyObject } from "../source/key-object.js"

export interface HoldingDeps {
  label: string
  refreshIntervalMs: number
  region: string
  credentials(signal?: AbortSignal): Promise<ControlCredentials>
  pin(): Promise<string>
  /**
   * Has the module sign with the object's key.
   *
   * @param endpointFile - names the enclave, where it is not the one that servers are sent to
   */
  selfTest(object: KeyObject, pin: string, endpointFile?: string): Promise<void>
  /** Tokens brought in at the same time: the enclave makes an RSA key for each. */
  provisioning: LimitFunction
  log: Logger
}

export class Holding {
  readonly enclave: OwnedEnclave
  readonly #deps: HoldingDeps
  #description: TokenDescription | undefined
  /** By the monotonic clock: the wall clock may jump, and the enclave's is another. */
  #refreshDueAt = 0
  /** The object that the module has signed for. */
  #proven: KeyObject | undefined
  /** This agent has brought the key in, with the PIN of now. */
  #provisioned = false
  #released = false

  constructor(enclave: OwnedEnclave, deps: HoldingDeps) {
    this.enclave = enclave
    this.#deps = deps
    const { tokens, now } = enclave.description
    const found = tokens.find(({ label }) => label === deps.label)
    // A fresh enclave's description is as true, and empty.
    if (found !== undefined) {
      this.#description = found
      this.#scheduleRefresh(now - found.attestedAt)
    }
  }

  /** Whether the enclave has this object's key: as the current one, staged, or not at all. */
  has(object: KeyObject): "current" | "next" | "not" {
    const [leaf] = object.certificates
    if (this.#description === undefined || leaf === undefined) return "not"
    const { certificateFingerprint, nextFingerprint } = this.#description
    // Not the key's: a certificate renewed for the same key is another one to list.
    if (certificateFingerprint === fingerprintOf(leaf.raw).toString("hex")) return "current"
    return nextFingerprint === keyFingerprint(object) ? "next" : "not"
  }

  get isHeld(): boolean {
    return this.#description !== undefined
  }

  /** KMS has denied it to this enclave, and it is not there any more. */
  get isReleased(): boolean {
    return this.#released && this.#description === undefined
  }

  /** ms until the enclave is to attest again; undefined where it holds nothing. */
  get refreshInMs(): number | undefined {
    if (this.#description === undefined) return undefined
    return Math.max(0, this.#refreshDueAt - performance.now())
  }

  /**
   * Brings the object's key in and has the module prove it. Where the web server's files still name
   * another one, that is brought in as the current key, and the object's is staged.
   *
   * @param published - what the server's files name
   * @throws AgentError of the step that failed; the next call goes on from there.
   */
  async bring(
    object: KeyObject,
    published: KeyObject | undefined,
    options: { endpointFile?: string; signal?: AbortSignal } = {},
  ): Promise<void> {
    const pin = await this.#deps.pin()
    await this.#provisionMissing(object, published, pin, options.signal)
    if (this.#proven === object) return
    try {
      await this.#prove(object, pin, options.endpointFile)
    } catch (error) {
      if (this.#provisioned) throw error
      // An adopted token may have another PIN than the one configured now.
      this.#deps.log.warn(errorFields(error), "adopted token does not serve: bringing it in anew")
      this.#description = undefined
      await this.#provisionMissing(object, published, pin, options.signal)
      await this.#prove(object, pin, options.endpointFile)
    }
  }

  /** Makes the staged key the current one: the server's files name it by now. */
  async activate(object: KeyObject): Promise<void> {
    if (this.has(object) !== "next") return
    const { label, log } = this.#deps
    const fingerprint = keyFingerprint(object)
    this.#description = await this.enclave.client.activate(label, fingerprint)
    this.#scheduleRefresh(0)
    log.info({ fingerprint }, "renewed key is the current one")
  }

  /** Destroys the keys that renewals have replaced: no server process uses them any more. */
  async retireFormer(): Promise<void> {
    const { label, log } = this.#deps
    const fingerprints = this.#description?.retiringFingerprints ?? []
    for (const fingerprint of fingerprints) {
      await this.enclave.client.retire(label, fingerprint)
      log.info({ fingerprint }, "former key destroyed")
    }
    if (this.#description !== undefined) this.#description.retiringFingerprints = []
  }

  /**
   * Has the enclave attest again, if it is time.
   *
   * @throws AgentError of what failed. A denial has released the token: it is not held any more.
   */
  async refreshIfDue(signal?: AbortSignal): Promise<void> {
    if (this.#description === undefined || performance.now() < this.#refreshDueAt) return
    const { label, log, provisioning, credentials } = this.#deps
    try {
      this.#description = await provisioning(async () =>
        this.enclave.client.refresh(label, await credentials(signal)),
      )
      this.#scheduleRefresh(0)
      const until = new Date(this.#description.expiresAt).toISOString()
      log.info({ expiresAt: until }, "token attested again")
    } catch (error) {
      const code = error instanceof AgentError ? error.code : "internal"
      const denied = isControlCode(code) && DENIAL_CONTROL_CODES.has(code)
      if (denied || code === "unknown-token") {
        this.#description = undefined
        this.#released = denied
        if (denied) log.error("token released: KMS denies it to this enclave")
      }
      throw withMeasurement(error, this.enclave)
    }
  }

  async #provisionMissing(
    object: KeyObject,
    published: KeyObject | undefined,
    pin: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#description === undefined && published !== undefined && published !== object) {
      try {
        await this.#provision(published, pin, { stage: false, signal })
      } catch (error) {
        if (mayPass(error)) throw error
        // Its key may be beyond KMS's reach by now: the server gets the new one all the sooner.
        this.#deps.log.warn(errorFields(error), "the key that the server uses cannot be had again")
      }
    }
    if (this.has(object) === "not") await this.#provision(object, pin, { stage: true, signal })
  }

  async #provision(
    object: KeyObject,
    pin: string,
    { stage, signal }: { stage: boolean; signal: AbortSignal | undefined },
  ): Promise<void> {
    const { label, region, credentials, provisioning, log } = this.#deps
    const former = this.#description
    const startedAt = performance.now()
    try {
      this.#description = await provisioning(async () =>
        this.enclave.client.provision({
          label,
          pin,
          certificates: object.certificates.map(({ raw }) => raw),
          encryptedPrivateKey: object.encryptedPrivateKey,
          keyId: object.keyId,
          region,
          credentials: await credentials(signal),
          encryptionContext: object.encryptionContext,
          stage,
        }),
      )
    } catch (error) {
      throw withMeasurement(error, this.enclave)
    }
    this.#provisioned = true
    this.#released = false
    this.#proven = undefined
    // What is staged says nothing of the current key's lease.
    if (former === undefined || this.has(object) === "current") this.#scheduleRefresh(0)
    const staged = this.has(object) === "next"
    const { keyType, keyId } = this.#description
    // The description is the current key's.
    const about = staged ? {} : { keyType, keyId }
    const durationMs = Math.round(performance.now() - startedAt)
    log.info(
      { fingerprint: keyFingerprint(object), ...about, staged, durationMs },
      "token provisioned",
    )
  }

  async #prove(object: KeyObject, pin: string, endpointFile?: string): Promise<void> {
    const startedAt = performance.now()
    await this.#deps.selfTest(object, pin, endpointFile)
    this.#proven = object
    const durationMs = Math.round(performance.now() - startedAt)
    this.#deps.log.info({ durationMs }, "module self-test passed")
  }

  #scheduleRefresh(attestedMsAgo: number): void {
    this.#refreshDueAt = performance.now() + this.#deps.refreshIntervalMs - attestedMsAgo
  }
}

function keyFingerprint({ certificates: [leaf] }: KeyObject): string {
  return leaf === undefined ? "" : fingerprintOf(publicKeyOf(leaf)).toString("hex")
}

function mayPass(error: unknown): boolean {
  if (!(error instanceof AgentError)) return true
  if (!isControlCode(error.code)) return true
  return PASSING_CONTROL_CODES.has(error.code)
}

/** A refusal by KMS is about the image: the sentence says which one it is. */
function withMeasurement(error: unknown, { description }: OwnedEnclave): unknown {
  if (!(error instanceof AgentError) || error.code !== "kms-access-denied") return error
  const debug = description.debug ? ", a debug-mode enclave" : ""
  return new AgentError(error.code, `${error.message}; PCR0 is ${description.pcrs["0"]}${debug}`, {
    advice: error.advice,
    cause: error,
  })
}
