/** The publisher: what comes together goes to the web server together, one batch after the other. */
import { access } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"
import pLimit from "p-limit"
import type { Logger } from "pino"
import type { OptionsConfig } from "../config/config.js"
import { AgentError, errorFields } from "../errors.js"
import type { RunDir } from "../run-dir.js"
import { CapabilityProbe, chooseSyntax } from "./capabilities.js"
import { type CommandRunner, runCommand } from "./command.js"
import { Delivery, type Outcome } from "./delivery.js"
import { isAsWanted, restoreFile } from "./files.js"
import { gone, type ServerProcess, startedBefore } from "./former-workers.js"
import { Journal } from "./journal.js"
import { type Plan, planPublication } from "./plan.js"
import { presents } from "./presented.js"
import type { Publication, Published, Publisher } from "./publisher.js"
import { ServerControl } from "./server-control.js"

export interface PublisherDeps {
  options: OptionsConfig
  runDir: RunDir
  log: Logger
  /** Runs the server's commands and those that look at what is installed; tests give another. */
  run?: CommandRunner
  /** Whether systemd manages the machine; looked up unless given. */
  systemd?: boolean
}

interface Job {
  publication: Publication
  resolve(published: Published): void
  reject(error: unknown): void
}

/** What is published at nearly the same time shares a reload. */
const GATHER_MS = 100
const PARALLEL_PLANS = 8

/** Never rejects: what is missing on this machine is logged, and said again by each publication. */
export async function createPublisher(deps: PublisherDeps): Promise<Publisher> {
  const { run = runCommand, systemd = await systemdRuns(), options, log } = deps
  const probe = new CapabilityProbe(options.service, run)
  try {
    const capabilities = await probe.capabilities()
    const syntax = chooseSyntax(options, capabilities)
    log.info({ service: options.service, syntax, ...capabilities }, "web server's ways to a key")
  } catch (error) {
    log.error(errorFields(error), "web server cannot reach a key")
  }
  return new BatchPublisher(deps, probe, new ServerControl({ options, run, systemd }))
}

/** sd_booted(3) */
function systemdRuns(): Promise<boolean> {
  return access("/run/systemd/system").then(
    () => true,
    () => false,
  )
}

class BatchPublisher implements Publisher {
  readonly #deps: PublisherDeps
  readonly #probe: CapabilityProbe
  readonly #server: ServerControl
  readonly #journal: Journal
  readonly #closing = new AbortController()
  #queue: Job[] = []
  #working = false
  /** The server may run by other files than those that are there. */
  #reloadDue = false
  readonly #noticed = new Set<string>()
  readonly #waiting = new WeakMap<readonly ServerProcess[], Promise<boolean>>()

  constructor(deps: PublisherDeps, probe: CapabilityProbe, server: ServerControl) {
    this.#deps = deps
    this.#probe = probe
    this.#server = server
    this.#journal = new Journal(deps.runDir.path)
  }

  publish(publication: Publication): Promise<Published> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ publication, resolve, reject })
      if (!this.#working) void this.#work()
    })
  }

  close(): void {
    this.#closing.abort()
  }

  async #work(): Promise<void> {
    this.#working = true
    while (this.#queue.length > 0) {
      await sleep(GATHER_MS)
      const jobs = this.#queue
      this.#queue = []
      try {
        await this.#batch(jobs)
      } catch (error) {
        // Jobs that are settled already do not notice.
        for (const { reject } of jobs) reject(error)
      }
    }
    this.#working = false
  }

  async #batch(jobs: readonly Job[]): Promise<void> {
    await this.#undoUnfinished()
    const planned = new Map<Plan, Job>()
    const limit = pLimit(PARALLEL_PLANS)
    await Promise.all(
      jobs.map((job) =>
        limit(async () => {
          const plan = await this.#plan(job)
          if (plan !== undefined) planned.set(plan, job)
        }),
      ),
    )
    const { options, log } = this.#deps
    const deps = { options, server: this.#server, journal: this.#journal, log }
    const outcomes = await Delivery.run(deps, [...planned.keys()])
    for (const [plan, job] of planned) this.#settle(plan, job, outcomes.get(plan))
  }

  /** What is to be done for a job; undefined where it is settled already. */
  async #plan({ publication, resolve, reject }: Job): Promise<Plan | undefined> {
    const { options, runDir } = this.#deps
    try {
      const capabilities = await this.#probe.capabilities()
      const plan = await planPublication(publication, { options, runDir, capabilities })
      this.#notice(plan)
      if (this.#reloadDue || !(await this.#isDone(plan))) return plan
      resolve({
        formerWorkersGone: this.#gone(
          await startedBefore(plan.certificateFile, options.module_path),
        ),
      })
      this.#logOf(plan).info("web server has the certificate already")
    } catch (error) {
      reject(error)
    }
    return undefined
  }

  /** An agent's restart finds everything as it left it, and leaves the server alone. */
  async #isDone({ files, formers, listener, leaf }: Plan): Promise<boolean> {
    const asWanted = files.every((file, index) => {
      const former = formers[index]
      return former !== undefined && isAsWanted(file, former)
    })
    if (!asWanted) return false
    if (listener !== undefined) return presents(listener, leaf)
    return !this.#deps.options.force_start || (await this.#server.state()) !== "stopped"
  }

  /** An agent that died while files were on trial has left them: the last good ones come back first. */
  async #undoUnfinished(): Promise<void> {
    const formers = await this.#journal.read()
    if (formers.length === 0) return
    for (const former of [...formers].reverse()) await restoreFile(former)
    this.#reloadDue = true
    await this.#journal.clear()
    this.#deps.log.warn({ files: formers.length }, "unfinished publication undone")
  }

  #settle(plan: Plan, { resolve, reject }: Job, outcome: Outcome | undefined): void {
    if (outcome === undefined || "error" in outcome) {
      reject(outcome?.error ?? new AgentError("reload-failed", "the publication was lost"))
      return
    }
    this.#reloadDue = false
    resolve({ formerWorkersGone: this.#gone(outcome.formerWorkers) })
    const { leaf, path, certificateFile } = plan
    const { subject, validTo: expiresAt } = leaf
    const message = outcome.activated
      ? "web server reloaded"
      : "files written for a stopped web server"
    this.#logOf(plan).info({ subject, expiresAt, path, certificateFile }, message)
  }

  /** Publications that shared a reload wait for the same workers. */
  #gone(workers: readonly ServerProcess[]): Promise<boolean> {
    const waiting =
      this.#waiting.get(workers) ?? gone(workers, this.#closing.signal).catch(() => false)
    this.#waiting.set(workers, waiting)
    return waiting
  }

  #notice(plan: Plan): void {
    for (const text of plan.notices) {
      if (!this.#noticed.has(text)) this.#logOf(plan).warn(text)
      this.#noticed.add(text)
    }
  }

  #logOf({ label }: Plan): Logger {
    return this.#deps.log.child({ tokenLabel: label })
  }
}
