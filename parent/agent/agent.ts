/** The agent: one enclave, kept running, and a keeper for each configured token. */
import { setMaxListeners } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import type { Logger } from "pino"
import type { EnclaveDescription } from "../../shared/protocol/control.js"
import { VERSION } from "../../shared/version.js"
import type { EnclaveHost, OwnedEnclave } from "../enclave-host/enclave-host.js"
import { AgentError, errorFields } from "../errors.js"
import type { RunDir } from "../run-dir.js"
import type { AgentControl, AgentStatus, EnclaveStatus } from "./agent-status.js"
import { type Replaced, replaceEnclave } from "./replace-enclave.js"
import { errorRecord, type TokenKeeper } from "./token-keeper.js"

export interface AgentDeps {
  host: EnclaveHost
  keepers: readonly TokenKeeper[]
  runDir: RunDir
  configFile: string
  /** What runs unless a replacement brought another. */
  imagePath: string
  log: Logger
}

const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 30_000
/** Many times what 128 tokens take that are all brought in at once, with everything slow. */
const STUCK_MS = 30 * 60_000
/** An enclave that lived so long is not one that is lost at every start. */
const STABLE_MS = 60_000

/** A replacement asked for, until the loop gets to it. */
interface Replacement {
  imagePath: string | undefined
  progress: (step: string) => void
  resolve(replaced: Replaced): void
  reject(error: unknown): void
}

export class Agent implements AgentControl {
  readonly #deps: AgentDeps
  readonly #startedAt = Date.now()
  #state: Omit<EnclaveStatus, "reconnects"> = { state: "starting", since: Date.now() }
  /** Control connections made. */
  #connections = 0
  #serving: OwnedEnclave | undefined
  #replacement: Replacement | undefined
  /** Ends the keepers' work so that a replacement can begin. */
  #interrupt = new AbortController()

  constructor(deps: AgentDeps) {
    this.#deps = deps
  }

  /**
   * Brings every token in order once.
   *
   * @throws AgentError of the enclave; tokens that failed are logged and counted.
   * @returns how many tokens are not in order
   */
  async once(): Promise<number> {
    const { log, keepers } = this.#deps
    const enclave = await this.#acquire()
    const syncOnce = async (keeper: TokenKeeper): Promise<boolean> => {
      try {
        await keeper.sync(enclave)
        return true
      } catch (error) {
        log.error({ tokenLabel: keeper.label, ...errorFields(error) }, "token not in order")
        return false
      }
    }
    try {
      const outcomes = await Promise.all(keepers.map(syncOnce))
      return outcomes.filter((inOrder) => !inOrder).length
    } finally {
      enclave.client.close()
    }
  }

  /**
   * Keeps enclave and tokens in order until `signal` aborts. The enclave is left running: the web
   * server goes on with it, and the next agent adopts it.
   *
   * @param tried - called once every token has been brought in, or has failed to be, for the first time
   */
  async run(signal: AbortSignal, tried: () => void = () => {}): Promise<void> {
    const untried = new Set(this.#deps.keepers)
    const onTried = (keeper: TokenKeeper): void => {
      if (untried.delete(keeper) && untried.size === 0) tried()
    }
    let retryMs = FIRST_RETRY_MS
    let next: OwnedEnclave | undefined
    while (!signal.aborted) {
      const startedAt = performance.now()
      try {
        const enclave = next ?? (await this.#acquire())
        next = undefined
        await this.#keepAll(enclave, signal, onTried)
        if (signal.aborted) return
        if (this.#replacement !== undefined) {
          next = await this.#replace(enclave, this.#replacement, signal)
          continue
        }
        this.#deps.log.error({ enclaveId: enclave.enclaveId }, "enclave lost")
        this.#is("down", { error: lostRecord() })
      } catch (error) {
        this.#deps.log.error({ ...errorFields(error), retryInMs: retryMs }, "no enclave")
        this.#is("down", { error: errorRecord(error), nextTryAt: Date.now() + retryMs })
      }
      // The first loss is made good at once; one that keeps getting lost must not spin.
      if (performance.now() - startedAt >= STABLE_MS) {
        retryMs = FIRST_RETRY_MS
        continue
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {})
      retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)
    }
    this.#replacement?.reject(
      new AgentError("enclave-unreachable", "the agent ended before the enclave was replaced"),
    )
  }

  /** Whether it gets anywhere, for a watchdog: not if some round takes longer than any can. */
  get isAlive(): boolean {
    return this.#deps.keepers.every(({ roundTakesMs }) => roundTakesMs < STUCK_MS)
  }

  async status(): Promise<AgentStatus> {
    const { keepers, configFile } = this.#deps
    const description = await this.#describe()
    const now = Date.now()
    const tokens = keepers.map((keeper) => {
      const held = description?.tokens.find(({ label }) => label === keeper.label)
      return { ...keeper.status(now), ...(held === undefined ? {} : { enclave: held }) }
    })
    const { tokens: _tokens, ...enclave } = description ?? { tokens: [] }
    return {
      version: VERSION,
      pid: process.pid,
      startedAt: this.#startedAt,
      now,
      configFile,
      enclave: {
        ...this.#state,
        reconnects: Math.max(0, this.#connections - 1),
        ...("moduleId" in enclave ? { description: enclave } : {}),
      },
      tokens,
    }
  }

  replaceEnclave(
    { imagePath }: { imagePath?: string },
    progress: (step: string) => void,
  ): Promise<Replaced> {
    if (this.#serving === undefined) {
      return Promise.reject(
        new AgentError("enclave-unreachable", "no enclave runs that could be replaced", {
          advice: "Look at tlskeep status: the agent starts one as soon as it can.",
        }),
      )
    }
    if (this.#replacement !== undefined) {
      return Promise.reject(
        new AgentError("replacement-under-way", "the enclave is being replaced already", {
          advice: "Wait until that has ended.",
        }),
      )
    }
    return new Promise((resolve, reject) => {
      this.#replacement = { imagePath, progress, resolve, reject }
      this.#interrupt.abort()
    })
  }

  async #acquire(): Promise<OwnedEnclave> {
    const { host, runDir, log, imagePath } = this.#deps
    const enclave = await host.acquire()
    await runDir.writeEndpoint(enclave.signing)
    const { moduleId, pcrs, debug, policy } = enclave.description
    log.info({ moduleId, pcr0: pcrs["0"], debug, policy }, "enclave ready")
    this.#serves(enclave, imagePath)
    return enclave
  }

  #serves(enclave: OwnedEnclave, imagePath: string): void {
    const { enclaveId, cid, adopted } = enclave
    this.#serving = enclave
    this.#connections++
    // An adopted one's image is not known: the file may have been another when it was started.
    const image = adopted ? {} : { imagePath }
    this.#is("up", { enclaveId, cid, adopted, ...image })
  }

  #is(state: EnclaveStatus["state"], more: Partial<EnclaveStatus>): void {
    const since = this.#state.state === state ? this.#state.since : Date.now()
    if (state !== "up") this.#serving = undefined
    this.#state = { ...more, state, since }
  }

  /** Runs the keepers until the control connection breaks, a replacement is due or `signal` aborts. */
  async #keepAll(
    enclave: OwnedEnclave,
    signal: AbortSignal,
    onTried: (keeper: TokenKeeper) => void,
  ): Promise<void> {
    const lost = new AbortController()
    void enclave.client.closed.then(() => lost.abort())
    this.#interrupt = new AbortController()
    if (this.#replacement !== undefined) this.#interrupt.abort()
    const ended = AbortSignal.any([signal, lost.signal, this.#interrupt.signal])
    // Every keeper that waits listens to it, a warning of Node's above ten.
    setMaxListeners(0, ended)
    // What a keeper waits for comes over this connection.
    const onStop = (): void => enclave.client.close()
    signal.addEventListener("abort", onStop, { once: true })
    await Promise.all(
      this.#deps.keepers.map((keeper) => keeper.keep(enclave, ended, () => onTried(keeper))),
    )
    signal.removeEventListener("abort", onStop)
    if (this.#replacement === undefined) enclave.client.close()
  }

  /** @returns the enclave to go on with; undefined where that is not known to live */
  async #replace(
    enclave: OwnedEnclave,
    { imagePath, progress, resolve, reject }: Replacement,
    signal: AbortSignal,
  ): Promise<OwnedEnclave | undefined> {
    const { log } = this.#deps
    try {
      const say = (step: string): void => {
        log.info({ step }, "replacing the enclave")
        progress(step)
      }
      const successor = await replaceEnclave(this.#deps, enclave, { imagePath, signal, say })
      this.#serves(successor, imagePath ?? this.#deps.imagePath)
      resolve({ enclaveId: successor.enclaveId, pcr0: successor.description.pcrs["0"] ?? "" })
      return successor
    } catch (error) {
      log.error(errorFields(error), "enclave not replaced: the former one goes on")
      reject(error)
      return enclave.client.isOpen ? enclave : undefined
    } finally {
      this.#replacement = undefined
    }
  }

  /** Fresh from the enclave; undefined where it does not answer. */
  async #describe(): Promise<EnclaveDescription | undefined> {
    return this.#serving?.client.describe().catch(() => undefined)
  }
}

function lostRecord(): ReturnType<typeof errorRecord> {
  return errorRecord(new AgentError("enclave-unreachable", "the enclave was lost"))
}
