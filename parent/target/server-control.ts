/** The web server as the agent handles it: test its configuration, reload it, start it, see it run. */
import { readdir, readlink } from "node:fs/promises"
import { basename } from "node:path"
import type { OptionsConfig } from "../config/config.js"
import { AgentError, type AgentErrorCode } from "../errors.js"
import type { CommandRunner } from "./command.js"
import { quoteEnd } from "./quote.js"

export type ServerOptions = Pick<
  OptionsConfig,
  "service" | "unit" | "test_command" | "reload_command" | "start_command"
>

/** `unknown`: nothing but its listener can tell. */
export type ServerState = "running" | "stopped" | "unknown"

/** What a server is by default: Debian's and Amazon Linux's names of it. */
const SERVICES = {
  httpd: {
    units: ["httpd.service", "apache2.service"],
    programs: ["httpd", "apache2"],
    test: ["apachectl", "configtest"],
    reload: ["apachectl", "-k", "graceful"],
    start: ["apachectl", "-k", "start"],
  },
  nginx: {
    units: ["nginx.service"],
    programs: ["nginx"],
    test: ["nginx", "-t"],
    reload: ["nginx", "-s", "reload"],
    start: ["nginx"],
  },
} as const

/** A unit's states between which it serves. */
const UNIT_RUNS = new Set(["active", "reloading"])

export interface ServerControlDeps {
  options: ServerOptions
  run: CommandRunner
  /** Whether systemd manages this machine. */
  systemd: boolean
  /** The proc file system; another in tests. */
  proc?: string
}

export class ServerControl {
  readonly #options: ServerOptions
  readonly #run: CommandRunner
  readonly #systemd: boolean
  readonly #proc: string
  #unit: string | undefined

  constructor({ options, run, systemd, proc = "/proc" }: ServerControlDeps) {
    this.#options = options
    this.#run = run
    this.#systemd = systemd
    this.#proc = proc
  }

  /** @throws AgentError `config-test-failed` with the end of what the server says */
  async test(pins: readonly string[]): Promise<void> {
    const command = this.#options.test_command ?? SERVICES[this.#options.service].test
    await this.#must(command, pins, {
      code: "config-test-failed",
      what: "the web server's configuration test fails",
      advice: "Correct what it reports, or set options.test_command.",
    })
  }

  /** @throws AgentError `reload-failed` with the end of what the server says */
  async reload(pins: readonly string[]): Promise<void> {
    const unit = await this.#managedUnit()
    const command =
      this.#options.reload_command ??
      (unit === undefined ? SERVICES[this.#options.service].reload : ["systemctl", "reload", unit])
    await this.#must(command, pins, {
      code: "reload-failed",
      what: "the web server was not reloaded",
      advice: "Correct what it reports (its own log may say more), or set options.reload_command.",
    })
  }

  /** @throws AgentError `start-failed` with the end of what the server says */
  async start(pins: readonly string[]): Promise<void> {
    const unit = await this.#managedUnit()
    const command =
      this.#options.start_command ??
      (unit === undefined ? SERVICES[this.#options.service].start : ["systemctl", "start", unit])
    await this.#must(command, pins, {
      code: "start-failed",
      what: "the web server was not started",
      advice: "Correct what it reports (its own log may say more), or set options.start_command.",
    })
  }

  /** What systemd says of the unit; without one, whether a process of the server's name is there. */
  async state(): Promise<ServerState> {
    const unit = await this.#managedUnit()
    if (unit !== undefined) {
      const { output } = await this.#run(["systemctl", "is-active", unit])
      return UNIT_RUNS.has(output.trim()) ? "running" : "stopped"
    }
    // Commands of the operator's own may be for a server that its name does not tell from others.
    if (this.#options.reload_command !== undefined) return "unknown"
    return (await this.#hasProcess()) ? "running" : "stopped"
  }

  async #must(
    command: readonly string[],
    pins: readonly string[],
    { code, what, advice }: { code: AgentErrorCode; what: string; advice: string },
  ): Promise<void> {
    const { failure, output } = await this.#run(command)
    if (failure === undefined) return
    throw new AgentError(code, `${what}: ${failure}${quoteEnd(output, pins)}`, { advice })
  }

  /** The unit to talk of; undefined where systemd does not manage the server. */
  async #managedUnit(): Promise<string | undefined> {
    const { unit, reload_command, service } = this.#options
    if (!this.#systemd) return undefined
    if (unit !== undefined) return unit
    if (reload_command !== undefined) return undefined
    this.#unit ??= await this.#findUnit(SERVICES[service].units)
    return this.#unit
  }

  async #findUnit(candidates: readonly string[]): Promise<string | undefined> {
    for (const unit of candidates) {
      const { failure, output } = await this.#run(["systemctl", "show", "-p", "LoadState", unit])
      if (failure === undefined && output.trim() === "LoadState=loaded") return unit
    }
    return undefined
  }

  async #hasProcess(): Promise<boolean> {
    const names: readonly string[] = SERVICES[this.#options.service].programs
    for (const pid of await readdir(this.#proc)) {
      if (!/^[0-9]+$/.test(pid)) continue
      const program = await readlink(`${this.#proc}/${pid}/exe`).catch(() => "")
      // An upgrade leaves the running server a file that is gone.
      if (names.includes(basename(program.replace(/ \(deleted\)$/, "")))) return true
    }
    return false
  }
}
