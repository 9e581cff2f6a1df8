/** A process that the testbed starts, whose lines it can wait for, and that it stops by its pid. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createWriteStream } from "node:fs"
import { createInterface } from "node:readline"
import { CodedError } from "../../shared/errors.js"

export type BackgroundProcessErrorCode = "process-ended" | "process-silent"

export interface StartOptions {
  name: string
  command: string
  args: readonly string[]
  env: NodeJS.ProcessEnv
  /** Gets stdout and stderr. */
  logFile: string
}

const STOP_TIMEOUT_MS = 10_000

export class BackgroundProcess {
  readonly name: string
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #exited: Promise<void>
  #watchers: (() => void)[] = []

  private constructor(name: string, child: ChildProcess, logFile: string) {
    this.name = name
    this.#child = child
    const log = createWriteStream(logFile, { flags: "a" })
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue
      createInterface({ input: stream }).on("line", (line) => {
        log.write(`${line}\n`)
        this.#lines.push(line)
        this.#notify()
      })
    }
    this.#exited = once(child, "exit").then(() => this.#notify())
  }

  static start({ name, command, args, env, logFile }: StartOptions): BackgroundProcess {
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] })
    return new BackgroundProcess(name, child, logFile)
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** What it wrote so far, a line each. */
  get lines(): readonly string[] {
    return this.#lines
  }

  /**
   * Waits for a line, from the `from`th on.
   *
   * @throws CodedError `process-ended` if it ends first, `process-silent` after `timeoutMs`; both
   *   with its last lines.
   */
  async waitForLine(
    matches: (line: string) => boolean,
    { timeoutMs = 30_000, from = 0 } = {},
  ): Promise<string> {
    const deadline = Date.now() + timeoutMs
    for (let next = from; ; ) {
      for (; next < this.#lines.length; next++) {
        const line = this.#lines[next]
        if (line !== undefined && matches(line)) return line
      }
      if (!this.running) throw this.#failure("process-ended", "ended")
      const left = deadline - Date.now()
      if (left <= 0) throw this.#failure("process-silent", `said nothing in ${timeoutMs} ms`)
      await this.#change(left)
    }
  }

  /** SIGTERM (or `signal`), and SIGKILL after 10 s. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.running) this.#child.kill(signal)
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS)
    await this.#exited
    clearTimeout(timer)
  }

  #change(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs)
      this.#watchers.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #notify(): void {
    const watchers = this.#watchers
    this.#watchers = []
    for (const watch of watchers) watch()
  }

  #failure(code: BackgroundProcessErrorCode, what: string): CodedError {
    return new CodedError(code, `${this.name} ${what}:\n${this.#lines.slice(-15).join("\n")}`)
  }
}
