/**
 * Brings planned files to the web server as one transaction: write, test, reload, see; and back to the
 * former files where a step fails.
 */
import { setTimeout as sleep } from "node:timers/promises"
import pLimit from "p-limit"
import type { Logger } from "pino"
import type { OptionsConfig } from "../config/config.js"
import { AgentError, errorFields } from "../errors.js"
import { restoreFile, writeTargetFile } from "./files.js"
import { currentWorkers, type ServerProcess } from "./former-workers.js"
import type { Journal } from "./journal.js"
import type { Plan } from "./plan.js"
import { listens, seePresented } from "./presented.js"
import type { ServerControl } from "./server-control.js"

export interface Delivered {
  /** Those that have read the former configuration. */
  formerWorkers: readonly ServerProcess[]
  /** False where the server did not run and was not to be started. */
  activated: boolean
}

export type Outcome = Delivered | { error: AgentError }
export type Outcomes = Map<Plan, Outcome>

export interface DeliveryDeps {
  options: Pick<OptionsConfig, "force_start" | "reload_wait_ms" | "module_path">
  server: ServerControl
  journal: Journal
  log: Logger
}

/** A server that cannot read its keys ends some time after its reload command has. */
const SETTLE_MS = 1_000
const POLL_MS = 100
const PARALLEL_LOOKS = 16

export class Delivery {
  readonly #deps: DeliveryDeps
  readonly #plans: readonly Plan[]
  readonly #outcomes: Outcomes = new Map()
  /** A server that ran before is started again where a reload has ended it, whatever `force_start` says. */
  #ranBefore = false

  private constructor(deps: DeliveryDeps, plans: readonly Plan[]) {
    this.#deps = deps
    this.#plans = plans
  }

  /** Never rejects for a plan's failure: every plan gets its outcome. */
  static async run(deps: DeliveryDeps, plans: readonly Plan[]): Promise<Outcomes> {
    const delivery = new Delivery(deps, plans)
    if (plans.length > 0) {
      await deps.journal.write(plans.flatMap(({ formers }) => formers))
      delivery.#ranBefore = await delivery.#isRunning()
      await delivery.#deliver(plans)
      await deps.journal.clear()
    }
    return delivery.#outcomes
  }

  async #deliver(plans: readonly Plan[]): Promise<void> {
    const written = await this.#write(plans)
    if (written.length === 0) return
    try {
      await this.#deps.server.test(this.#pins)
    } catch (error) {
      await this.#testFailed(written, error)
      return
    }
    await this.#activate(written)
  }

  /** Has the server use files that are written and tested. */
  async #activate(plans: readonly Plan[]): Promise<void> {
    const { options, server, log } = this.#deps
    const formerWorkers = await currentWorkers(options.module_path)
    try {
      if (await this.#isRunning()) await server.reload(this.#pins)
      else if (options.force_start || this.#ranBefore) await server.start(this.#pins)
      else {
        log.warn("web server does not run, and is not to be started")
        this.#settle(plans, { formerWorkers, activated: false })
        return
      }
    } catch (error) {
      await this.#activationFailed(plans, new Map(plans.map((plan) => [plan, asAgentError(error)])))
      return
    }
    const failures = await this.#look(plans)
    if (failures.size > 0) await this.#activationFailed(plans, failures)
    else this.#settle(plans, { formerWorkers, activated: true })
  }

  /** Which plans' certificates the server does not present in time. */
  async #look(plans: readonly Plan[]): Promise<Map<Plan, AgentError>> {
    const { options } = this.#deps
    const failures = new Map<Plan, AgentError>()
    const limit = pLimit(PARALLEL_LOOKS)
    await Promise.all(
      plans.map(({ listener, leaf: certificate }, index) =>
        limit(async () => {
          const plan = plans[index]
          if (listener === undefined || plan === undefined) return
          await seePresented({ listener, certificate, timeoutMs: options.reload_wait_ms }).catch(
            (error: unknown) => failures.set(plan, asAgentError(error)),
          )
        }),
      ),
    )
    const unseen = plans.filter(({ listener }) => listener === undefined)
    if (unseen.length > 0 && failures.size === 0 && (await this.#endsSoon())) {
      for (const plan of unseen) failures.set(plan, ended())
    }
    return failures
  }

  /** Without a listener there is this to see: whether the server outlives its reload. */
  async #endsSoon(): Promise<boolean> {
    if ((await this.#deps.server.state()) === "unknown") return false
    await sleep(SETTLE_MS)
    return (await this.#deps.server.state()) === "stopped"
  }

  /** The server has not been touched: the former files are enough. */
  async #testFailed(plans: readonly Plan[], error: unknown): Promise<void> {
    await this.#restore(plans)
    const good = (await this.#isOthersFault(plans)) ? [] : await this.#passing(plans)
    for (const plan of plans) {
      if (this.#outcomes.has(plan) || good.includes(plan)) continue
      this.#outcomes.set(plan, { error: back(asAgentError(error)) })
    }
    // Alone each passes, together they do not: nobody can say whose fault it is.
    if (good.length === plans.length) {
      this.#settle(plans, { error: back(asAgentError(error)) })
      return
    }
    if (good.length > 0) await this.#deliver(good)
  }

  /** One is to blame itself; several are not where the server's configuration fails without them, too. */
  async #isOthersFault(plans: readonly Plan[]): Promise<boolean> {
    if (plans.length === 1) return true
    // What includes a file that is not there yet fails for want of it.
    const formers = plans.flatMap((plan) => plan.formers)
    if (formers.some(({ former }) => former === undefined)) return false
    return this.#deps.server.test(this.#pins).then(
      () => false,
      () => true,
    )
  }

  /** The plans whose files pass the test, found by halves; the others get their outcome. */
  async #passing(plans: readonly Plan[]): Promise<Plan[]> {
    const found: Plan[] = []
    for (const half of halves(plans)) {
      const written = await this.#write(half)
      const error = await this.#deps.server.test(this.#pins).then(
        () => undefined,
        (refusal: unknown) => asAgentError(refusal),
      )
      await this.#restore(written)
      if (error === undefined) found.push(...written)
      else if (half.length > 1) found.push(...(await this.#passing(written)))
      else this.#settle(written, { error: back(error) })
    }
    return found
  }

  /** The server may run by the files, or have ended by them. */
  async #activationFailed(
    plans: readonly Plan[],
    failures: ReadonlyMap<Plan, AgentError>,
  ): Promise<void> {
    const bad = [...failures.keys()]
    const good = plans.filter((plan) => !failures.has(plan))
    await this.#restore(bad)
    // A server that one of them has ended presents none of the others either.
    const pulledDown = good.length === 0 && plans.length > 1 && !(await this.#isRunning())
    const trouble = good.length > 0 ? undefined : await this.#recover()
    if (pulledDown && trouble === undefined) {
      for (const half of halves(plans)) await this.#deliver(half)
      return
    }
    for (const [plan, error] of failures) {
      this.#outcomes.set(plan, { error: back(error, trouble) })
    }
    if (good.length > 0) await this.#deliver(good)
  }

  /** Has the server run by the files that are back; says what stands against it. */
  async #recover(): Promise<AgentError | undefined> {
    const { server, log, options } = this.#deps
    try {
      await server.test(this.#pins)
      if (await this.#isRunning()) await server.reload(this.#pins)
      else if (this.#ranBefore) await server.start(this.#pins)
      if (!this.#ranBefore) return undefined
      for (const deadline = Date.now() + options.reload_wait_ms; Date.now() < deadline; ) {
        if (await this.#isRunning()) break
        await sleep(POLL_MS)
      }
      log.warn("web server runs by its former files again")
      return undefined
    } catch (error) {
      log.error(errorFields(error), "web server not brought back")
      return asAgentError(error)
    }
  }

  async #isRunning(): Promise<boolean> {
    const state = await this.#deps.server.state()
    if (state !== "unknown") return state === "running"
    const looks = this.#plans.flatMap(({ listener, leaf }) =>
      listener === undefined ? [] : [{ listener, leaf }],
    )
    // The operator's own reload command is all there is to ask.
    if (looks.length === 0) return true
    for (const { listener, leaf } of looks) if (await listens(listener, leaf)) return true
    return false
  }

  /** Writes the files of each plan; returns those for which that went well. */
  async #write(plans: readonly Plan[]): Promise<Plan[]> {
    const written: Plan[] = []
    for (const plan of plans) {
      try {
        for (const file of plan.files) await writeTargetFile(file.path, file.content, file)
        written.push(plan)
      } catch (error) {
        await this.#restore([plan])
        this.#outcomes.set(plan, { error: asAgentError(error) })
      }
    }
    return written
  }

  /** In the reverse order: what names a file goes before it. */
  async #restore(plans: readonly Plan[]): Promise<void> {
    for (const former of plans.flatMap(({ formers }) => formers).reverse()) {
      await restoreFile(former).catch((error: unknown) => {
        this.#deps.log.error(
          { ...errorFields(error), path: former.path },
          "former file not restored",
        )
      })
    }
  }

  #settle(plans: readonly Plan[], outcome: Outcome): void {
    for (const plan of plans) this.#outcomes.set(plan, outcome)
  }

  /** Whatever the server says may quote any of them. */
  get #pins(): string[] {
    return this.#plans.map(({ pin }) => pin)
  }
}

function halves<Item>(items: readonly Item[]): (readonly Item[])[] {
  const middle = Math.ceil(items.length / 2)
  return [items.slice(0, middle), items.slice(middle)].filter(({ length }) => length > 0)
}

function back(error: AgentError, trouble?: AgentError): AgentError {
  const state =
    trouble === undefined
      ? "the former files are back"
      : `the former files are back, but ${trouble.message}`
  return new AgentError(error.code, `${error.message}; ${state}`, {
    advice: error.advice,
    cause: error,
  })
}

function ended(): AgentError {
  return new AgentError("reload-failed", "the web server ended when it was reloaded", {
    advice: "The server's own log says why it could not use its configuration.",
  })
}

function asAgentError(error: unknown): AgentError {
  if (error instanceof AgentError) return error
  return new AgentError("reload-failed", "the publication failed by an error of the agent's own", {
    advice: "Please report this.",
    cause: error,
  })
}
