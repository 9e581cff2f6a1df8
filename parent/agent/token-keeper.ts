/**
 * Keeps one token alive: asks its source, has the enclave hold what the source gives, has the web server
 * use it, and has the enclave attest again before the lease ends.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { TokenConfig } from "../config/config.js"
import type { OwnedEnclave } from "../enclave-host/enclave-host.js"
import { AgentError, errorFields } from "../errors.js"
import { isSameObject, type KeyObject } from "../source/key-object.js"
import type { Source } from "../source/source.js"
import type { Published } from "../target/publisher.js"
import type { ErrorRecord, TokenStatus } from "./agent-status.js"
import { certificateStatus } from "./certificate-status.js"
import { Holding, type HoldingDeps } from "./holding.js"
import type { KeptObjects } from "./kept-objects.js"

/** What a keeper needs of the rest of the agent. */
export interface KeeperDeps extends Omit<HoldingDeps, "label" | "refreshIntervalMs"> {
  config: TokenConfig
  source: Source
  syncIntervalMs: number
  kept: { load(): Promise<KeptObjects>; save(objects: KeptObjects): Promise<void> }
  /** Has the server use the object: see {@link Publisher}. */
  publish(object: KeyObject, pin: string): Promise<Published>
}

const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 60_000
/**
 * A failure that the server's clients notice: it ran by the new files until it was seen that they do not
 * serve. The same object is not put on trial again for so long, twice as long after each failure.
 */
const HARMFUL = "certificate-not-presented"
const FIRST_HARMFUL_RETRY_MS = 300_000
const MAX_HARMFUL_RETRY_MS = 3_600_000

export class TokenKeeper {
  readonly #deps: KeeperDeps
  #loaded = false
  /** The last object fetched: what a new enclave is given even while the source is away. */
  #object: KeyObject | undefined
  /** What the server's files name. */
  #published: KeyObject | undefined
  /** What they were seen to name by this agent, and the server to serve by. */
  #confirmed: KeyObject | undefined
  #formerWorkersGone: Promise<boolean> = Promise.resolve(false)
  #holding: Holding | undefined
  /** In an enclave that is about to take over. */
  #prepared: Holding | undefined
  /** What the server did not serve by when it was on trial, and when it may be again. */
  #harmful: { object: KeyObject; error: AgentError; waitMs: number; notBefore: number } | undefined
  /** By the monotonic clock; none between rounds. */
  #roundBegan: number | undefined
  #failures = 0
  #error: ErrorRecord | undefined
  #syncedAt: number | undefined
  #publishedAt: number | undefined
  /** By the wall clock, for those who look. */
  #nextSyncAt: number | undefined
  #nextRetryAt: number | undefined

  constructor(deps: KeeperDeps) {
    this.#deps = deps
  }

  get label(): string {
    return this.#deps.config.label
  }

  /**
   * Makes the token right in this enclave, then keeps it so until `signal` aborts. Failures are
   * logged, backed off from and tried again; a token is never given up.
   *
   * @param tried - called after each round
   */
  async keep(enclave: OwnedEnclave, signal: AbortSignal, tried?: () => void): Promise<void> {
    const { log, syncIntervalMs } = this.#deps
    const holding = this.#holdingIn(enclave)
    let retryMs = FIRST_RETRY_MS
    while (!signal.aborted) {
      let waitMs: number
      this.#roundBegan = performance.now()
      try {
        await this.#round(holding, signal)
        this.#succeeded()
        retryMs = FIRST_RETRY_MS
        waitMs = Math.min(syncIntervalMs, holding.refreshInMs ?? 0)
        this.#nextSyncAt = Date.now() + syncIntervalMs
      } catch (error) {
        if (signal.aborted) return
        waitMs = retryMs
        retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)
        this.#failed(error, waitMs)
        log.error({ ...errorFields(error), retryInMs: waitMs }, "token not in order")
      } finally {
        this.#roundBegan = undefined
      }
      tried?.()
      await sleep(waitMs, undefined, { signal }).catch(() => {})
    }
  }

  /**
   * One round: fetch, and whatever follows from what was fetched.
   *
   * @throws AgentError of the step that failed; the next round goes on from there.
   */
  async sync(enclave: OwnedEnclave): Promise<void> {
    await this.#sync(this.#holdingIn(enclave), undefined)
  }

  /**
   * Brings the token into an enclave that is to take over, where the one that serves holds it.
   *
   * @param endpointFile - names the new enclave
   * @throws AgentError; nothing has changed then for those who use the token.
   */
  async prepare(enclave: OwnedEnclave, endpointFile: string, signal: AbortSignal): Promise<void> {
    if (this.#holding?.isHeld !== true) return
    const serving = this.#holding
    const object = this.#object
    if (object === undefined) {
      throw new AgentError("no-key-object", `token ${JSON.stringify(this.label)}: no key object`, {
        advice: "Wait until its source can be reached: tlskeep status shows the last sync.",
      })
    }
    const taking = new Holding(enclave, this.#holdingDeps())
    await taking.bring(object, this.#published, { endpointFile, signal })
    if (serving.has(object) === "current") await taking.activate(object)
    this.#prepared = taking
  }

  /** How long the round takes that is under way, ms; 0 between rounds. Each of its steps has a time-out. */
  get roundTakesMs(): number {
    return this.#roundBegan === undefined ? 0 : performance.now() - this.#roundBegan
  }

  status(now = Date.now()): TokenStatus {
    const { config, source } = this.#deps
    const refreshInMs = this.#holding?.refreshInMs
    const shown = this.#published ?? this.#object
    const defined = <Value>(key: string, value: Value | undefined) =>
      value === undefined ? {} : { [key]: value }
    return {
      label: this.label,
      state: this.#state(),
      source: source.name,
      target: config.target.path,
      failures: this.#failures,
      ...defined("certificate", shown && certificateStatus(shown)),
      ...defined("syncedAt", this.#syncedAt),
      ...defined("publishedAt", this.#publishedAt),
      ...defined("nextSyncAt", this.#nextSyncAt),
      ...defined("nextRefreshAt", refreshInMs === undefined ? undefined : now + refreshInMs),
      ...defined("nextRetryAt", this.#nextRetryAt),
      ...defined("error", this.#error),
    }
  }

  #state(): TokenStatus["state"] {
    if (this.#holding?.isReleased === true) return "released"
    if (this.#holding?.isHeld === true && this.#confirmed !== undefined) {
      return this.#error === undefined ? "serving" : "degraded"
    }
    if (this.#error === undefined) return "pending"
    return this.#holding?.isHeld === true && this.#published !== undefined ? "degraded" : "failed"
  }

  #holdingIn(enclave: OwnedEnclave): Holding {
    if (this.#prepared?.enclave === enclave) this.#holding = this.#prepared
    this.#prepared = undefined
    if (this.#holding?.enclave !== enclave) {
      this.#holding = new Holding(enclave, this.#holdingDeps())
    }
    return this.#holding
  }

  #holdingDeps(): HoldingDeps {
    const { config, ...deps } = this.#deps
    return {
      ...deps,
      label: config.label,
      refreshIntervalMs: config.refresh_interval_secs * 1_000,
    }
  }

  /** A source that is away must not keep a token from being attested again. */
  async #round(holding: Holding, signal: AbortSignal): Promise<void> {
    try {
      await this.#sync(holding, signal)
    } catch (error) {
      await holding.refreshIfDue(signal).catch((refusal: unknown) => {
        this.#deps.log.error(errorFields(refusal), "token not attested again")
      })
      throw error
    }
    await holding.refreshIfDue(signal)
  }

  async #sync(holding: Holding, signal: AbortSignal | undefined): Promise<void> {
    await this.#load()
    // Handshakes wait for an enclave that has taken a lost one's place: what is known serves them first.
    const known = this.#object
    let failure: unknown
    if (known !== undefined && !holding.isHeld) {
      await this.#settle(holding, known, signal).catch((error: unknown) => {
        failure = error
      })
    }
    const sourceFailure = await this.#fetch(signal)
    const object = this.#object
    if (object === undefined) {
      throw sourceFailure ?? new AgentError("no-key-object", `${this.#deps.source.name}: nothing`)
    }
    // The source may have one by now that can be had.
    if (failure !== undefined && object === known) throw failure
    await this.#settle(holding, object, signal)
    if (sourceFailure !== undefined) throw sourceFailure
  }

  /** Brings one object to where it has to be. */
  async #settle(
    holding: Holding,
    object: KeyObject,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await holding.bring(object, this.#published, signal === undefined ? {} : { signal })
    if (this.#confirmed !== object) await this.#publish(object)
    if (holding.has(object) === "next") await this.#activate(holding, object)
  }

  async #publish(object: KeyObject): Promise<void> {
    const former = this.#harmful
    if (former?.object === object && performance.now() < former.notBefore) throw former.error
    try {
      const { formerWorkersGone } = await this.#deps.publish(object, await this.#deps.pin())
      this.#formerWorkersGone = formerWorkersGone
    } catch (error) {
      if (!(error instanceof AgentError) || error.code !== HARMFUL) throw error
      const waitMs =
        former?.object === object
          ? Math.min(former.waitMs * 2, MAX_HARMFUL_RETRY_MS)
          : FIRST_HARMFUL_RETRY_MS
      this.#harmful = { object, error, waitMs, notBefore: performance.now() + waitMs }
      throw error
    }
    this.#harmful = undefined
    this.#published = object
    this.#confirmed = object
    this.#publishedAt = Date.now()
    await this.#keep()
  }

  async #activate(holding: Holding, object: KeyObject): Promise<void> {
    await holding.activate(object)
    const { log } = this.#deps
    void this.#formerWorkersGone
      .then((gone) => (gone && this.#confirmed === object ? holding.retireFormer() : undefined))
      // It ends an hour after the renewal at the latest, by the enclave's own clock.
      .catch((error: unknown) => log.warn(errorFields(error), "former key not destroyed yet"))
  }

  /**
   * Asks the source. Where it is away, what was begun is brought to its end with what is known.
   *
   * @returns why there is no answer
   */
  async #fetch(signal: AbortSignal | undefined): Promise<unknown> {
    try {
      const fetched = await this.#deps.source.fetch(signal)
      this.#syncedAt = Date.now()
      if (fetched.changed) await this.#take(fetched.object)
      return undefined
    } catch (error) {
      if (signal?.aborted === true) throw error
      return error
    }
  }

  /** An object that is the same again stays the one it is: nothing is done over for it. */
  async #take(object: KeyObject): Promise<void> {
    if (this.#object !== undefined && isSameObject(this.#object, object)) return
    const same = this.#published !== undefined && isSameObject(this.#published, object)
    this.#object = same ? this.#published : object
    await this.#keep()
  }

  async #load(): Promise<void> {
    if (this.#loaded) return
    const { fetched, published } = await this.#deps.kept.load()
    this.#published = published
    const same =
      fetched !== undefined && published !== undefined && isSameObject(fetched, published)
    this.#object ??= same ? published : fetched
    this.#loaded = true
  }

  /** What cannot be kept is missed at the next start at most. */
  async #keep(): Promise<void> {
    const { kept, log } = this.#deps
    const objects = { fetched: this.#object, published: this.#published }
    await kept.save(objects).catch((error: unknown) => {
      log.warn(errorFields(error), "key object not kept")
    })
  }

  #succeeded(): void {
    this.#failures = 0
    this.#error = undefined
    this.#nextRetryAt = undefined
  }

  #failed(error: unknown, retryInMs: number): void {
    this.#failures++
    this.#error = errorRecord(error)
    this.#nextRetryAt = Date.now() + retryInMs
  }
}

/** An error as status shows it. */
export function errorRecord(error: unknown): ErrorRecord {
  if (!(error instanceof AgentError)) {
    const reason = error instanceof Error ? error.message : String(error)
    return { code: "internal", reason, at: Date.now() }
  }
  const advice = error.advice === "" ? {} : { advice: error.advice }
  return { code: error.code, reason: error.message, ...advice, at: Date.now() }
}
