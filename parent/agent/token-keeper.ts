/**
 * Keeps one token alive: fetches its key object, has the enclave open it, proves the module, writes
 * what the web server reads, reloads it, and attests again before the lease ends.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { Logger } from "pino"
import type { ControlCredentials, TokenDescription } from "../../shared/protocol/control.js"
import { DENIAL_CONTROL_CODES } from "../../shared/protocol/control-codes.js"
import { fingerprintOf } from "../../shared/public-key.js"
import type { TokenConfig } from "../config/config.js"
import type { OwnedEnclave } from "../enclave-host/enclave-host.js"
import { AgentError, errorFields } from "../errors.js"
import type { KeyObject } from "../source/key-object.js"
import type { Source } from "../source/source.js"

/** What a keeper needs of the rest of the agent. */
export interface KeeperDeps {
  config: TokenConfig
  source: Source
  region: string
  syncIntervalMs: number
  credentials(): Promise<ControlCredentials>
  pin(): Promise<string>
  selfTest(object: KeyObject, pin: string): Promise<void>
  /** Writes the server's files and has it read them. */
  publish(object: KeyObject): Promise<void>
  log: Logger
}

const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 60_000

export class TokenKeeper {
  readonly #deps: KeeperDeps
  /** The last object fetched: what a new enclave is given even while the source is away. */
  #object: KeyObject | undefined
  /** What the enclave was last given, and proven to sign with. */
  #served: { enclave: OwnedEnclave; object: KeyObject } | undefined
  /** What the web server was last told to use. */
  #published: KeyObject | undefined
  /** The enclave whose description has been used up: it tells of the moment it was acquired. */
  #looked: OwnedEnclave | undefined
  #refreshAt = 0

  constructor(deps: KeeperDeps) {
    this.#deps = deps
  }

  get label(): string {
    return this.#deps.config.label
  }

  /**
   * Makes the token right in this enclave, then keeps it so until `signal` aborts. Failures are
   * logged, backed off from and tried again; a token is never given up.
   */
  async keep(enclave: OwnedEnclave, signal: AbortSignal): Promise<void> {
    const { log, syncIntervalMs } = this.#deps
    let retryMs = FIRST_RETRY_MS
    while (!signal.aborted) {
      let waitMs: number
      try {
        await this.#round(enclave)
        retryMs = FIRST_RETRY_MS
        waitMs = Math.min(syncIntervalMs, Math.max(0, this.#refreshAt - Date.now()))
      } catch (error) {
        if (signal.aborted) return
        waitMs = retryMs
        retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)
        log.error({ ...errorFields(error), retryInMs: waitMs }, "token not in order")
      }
      await sleep(waitMs, undefined, { signal }).catch(() => {})
    }
  }

  /** A source that is away must not keep a token from being attested again. */
  async #round(enclave: OwnedEnclave): Promise<void> {
    try {
      await this.sync(enclave)
    } catch (error) {
      await this.#refreshIfDue(enclave).catch((refusal: unknown) => {
        this.#deps.log.error(errorFields(refusal), "token not attested again")
      })
      throw error
    }
    await this.#refreshIfDue(enclave)
  }

  /**
   * One round: fetch, and whatever follows from what was fetched.
   *
   * @throws AgentError of the step that failed; the next round goes on from there.
   */
  async sync(enclave: OwnedEnclave): Promise<void> {
    const object = await this.#fetch(enclave)
    if (!this.#isServed(enclave, object)) {
      await this.#provision(enclave, object)
      this.#served = { enclave, object }
    }
    if (this.#published !== object) {
      await this.#deps.publish(object)
      this.#published = object
    }
  }

  async #fetch(enclave: OwnedEnclave): Promise<KeyObject> {
    const { source, log } = this.#deps
    try {
      const fetched = await source.fetch()
      if (fetched.changed) this.#object = fetched.object
    } catch (error) {
      // While the source is away, a new enclave gets what the last one had, and what was begun is
      // brought to its end.
      if (this.#object === undefined || this.#isDone(enclave, this.#object)) throw error
      log.warn(errorFields(error), "source not reachable: using the object fetched before")
    }
    if (this.#object === undefined) throw new AgentError("s3-failed", "the source gave no object")
    return this.#object
  }

  #isDone(enclave: OwnedEnclave, object: KeyObject): boolean {
    return this.#isServed(enclave, object) && this.#published === object
  }

  #isServed(enclave: OwnedEnclave, object: KeyObject): boolean {
    return this.#served?.enclave === enclave && this.#served.object === object
  }

  async #provision(enclave: OwnedEnclave, object: KeyObject): Promise<void> {
    const { log, selfTest } = this.#deps
    const pin = await this.#deps.pin()
    if (!this.#isThere(enclave, object)) {
      const startedAt = Date.now()
      const token = await this.#askFor(enclave, object, pin)
      const { fingerprint, keyType, keyId } = token
      const durationMs = Date.now() - startedAt
      log.info({ fingerprint, keyType, keyId, durationMs }, "token provisioned")
      this.#scheduleRefresh(0)
    }
    const startedAt = Date.now()
    await selfTest(object, pin)
    log.info({ durationMs: Date.now() - startedAt }, "module self-test passed")
  }

  async #askFor(enclave: OwnedEnclave, object: KeyObject, pin: string): Promise<TokenDescription> {
    const { config, region, credentials } = this.#deps
    try {
      return await enclave.client.provision({
        label: this.label,
        pin,
        certificates: object.certificates.map(({ raw }) => raw),
        encryptedPrivateKey: object.encryptedPrivateKey,
        keyId: config.source.kms_key_id ?? object.keyId,
        region,
        credentials: await credentials(),
        encryptionContext: object.encryptionContext,
        stage: false,
      })
    } catch (error) {
      throw withMeasurement(error, enclave)
    }
  }

  /** Whether an adopted enclave served this very certificate already when it was adopted. */
  #isThere(enclave: OwnedEnclave, object: KeyObject): boolean {
    const fresh = enclave.adopted && this.#looked !== enclave
    this.#looked = enclave
    const [leaf] = object.certificates
    const { tokens, now } = enclave.description
    const token = fresh ? tokens.find(({ label }) => label === this.label) : undefined
    if (token === undefined || leaf === undefined) return false
    // Not the key's: a certificate renewed for the same key is another one to list.
    if (token.certificateFingerprint !== fingerprintOf(leaf.raw).toString("hex")) return false
    this.#scheduleRefresh(now - token.attestedAt)
    return true
  }

  async #refreshIfDue(enclave: OwnedEnclave): Promise<void> {
    if (this.#served?.enclave !== enclave || Date.now() < this.#refreshAt) return
    try {
      const credentials = await this.#deps.credentials()
      const { expiresAt } = await enclave.client.refresh(this.label, credentials)
      this.#scheduleRefresh(0)
      const until = new Date(expiresAt).toISOString()
      this.#deps.log.info({ expiresAt: until }, "token attested again")
    } catch (error) {
      // A denial released the token, or it is gone: the next round provisions it as a new one.
      if (RELEASED.has((error as AgentError).code)) this.#served = undefined
      throw withMeasurement(error, enclave)
    }
  }

  /** By this host's clock: the enclave's may be another. */
  #scheduleRefresh(attestedMsAgo: number): void {
    this.#refreshAt = Date.now() + this.#deps.config.refresh_interval_secs * 1_000 - attestedMsAgo
  }
}

const RELEASED: ReadonlySet<string> = new Set([...DENIAL_CONTROL_CODES, "unknown-token"])

/** A refusal by KMS is about the image: the sentence says which one it is. */
function withMeasurement(error: unknown, { description }: OwnedEnclave): unknown {
  if (!(error instanceof AgentError) || error.code !== "kms-access-denied") return error
  const debug = description.debug ? ", a debug-mode enclave" : ""
  return new AgentError(error.code, `${error.message}; PCR0 is ${description.pcrs["0"]}${debug}`, {
    advice: error.advice,
    cause: error,
  })
}
