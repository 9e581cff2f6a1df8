/** Starts a load client as a process of its own, follows it, and gets its report. */
import { join } from "node:path"
import { CodedError } from "../../../shared/errors.js"
import { BackgroundProcess } from "../../../sim/testbed/background-process.js"
import { CHECKOUT } from "../../../sim/testbed/checkout.js"
import { type LoadOptions, type LoadProgress, type LoadReport, PROTOCOLS } from "./report.js"

const CLIENT = join(CHECKOUT.root, "dist/test/e2e/load/client.js")
const WAIT_TIMEOUT_MS = 60_000

export class Load {
  readonly #client: BackgroundProcess
  readonly #options: LoadOptions
  #report: Promise<LoadReport> | undefined

  private constructor(client: BackgroundProcess, options: LoadOptions) {
    this.#client = client
    this.#options = options
  }

  /**
   * Starts and returns at once. Four clients over TLS 1.2 and 1.3, for `localhost`, without a pause, unless told
   * otherwise.
   *
   * @param logFile - gets what the client says
   */
  static start(
    target: Pick<LoadOptions, "port" | "ca"> & Partial<LoadOptions>,
    logFile: string,
  ): Load {
    const options: LoadOptions = {
      serverNames: ["localhost"],
      clients: 4,
      pauseMs: 0,
      protocols: PROTOCOLS,
      // Longer than the module's deadline: what the module gives up must be seen to fail.
      timeoutMs: 20_000,
      ...target,
    }
    const client = BackgroundProcess.start({
      name: "load client",
      command: process.execPath,
      args: [CLIENT, JSON.stringify(options)],
      env: { PATH: process.env.PATH ?? "" },
      logFile,
    })
    return new Load(client, options)
  }

  /** As of a tenth of a second ago. */
  get progress(): LoadProgress {
    for (let index = this.#client.lines.length - 1; index >= 0; index--) {
      const line = this.#client.lines[index]
      if (line?.startsWith('{"progress":')) return progressOf(line)
    }
    return { succeeded: 0, failed: 0, presented: [] }
  }

  /**
   * Waits until the progress is as wanted.
   *
   * @throws CodedError `process-silent` after `timeoutMs`, `process-ended`
   */
  async until(
    wanted: (progress: LoadProgress) => boolean,
    timeoutMs: number = WAIT_TIMEOUT_MS,
  ): Promise<void> {
    const from = Math.max(0, this.#client.lines.length - 1)
    await this.#client.waitForLine(
      (line) => line.startsWith('{"progress":') && wanted(progressOf(line)),
      { from, timeoutMs },
    )
  }

  /** Waits until so many more attempts ended well. */
  async more(count: number, timeoutMs?: number): Promise<void> {
    const target = this.progress.succeeded + count
    await this.until(({ succeeded }) => succeeded >= target, timeoutMs)
  }

  /**
   * Waits until a certificate is presented, and `count` times in a row no other under its name.
   *
   * @param fingerprint - SHA-256 of the DER, lower-case hex
   */
  async settlesOn(
    fingerprint: string,
    { serverName = "localhost", count = 50, timeoutMs = WAIT_TIMEOUT_MS } = {},
  ): Promise<void> {
    let before = { others: Number.NaN, ours: 0 }
    await this.until(({ presented }) => {
      const named = presented.filter((one) => one.serverName === serverName)
      const ours = named.find((one) => one.fingerprint === fingerprint)?.count ?? 0
      const others = named.reduce((sum, one) => sum + one.count, -ours)
      if (others !== before.others) before = { others, ours }
      return ours - before.ours >= count
    }, timeoutMs)
  }

  /** Ends the load; further calls get the same report. */
  stop(): Promise<LoadReport> {
    this.#report ??= this.#stop()
    return this.#report
  }

  async #stop(): Promise<LoadReport> {
    const { timeoutMs } = this.#options
    process.kill(this.#client.pid, "SIGTERM")
    try {
      const line = await this.#client.waitForLine((text) => text.startsWith('{"report":'), {
        timeoutMs: timeoutMs + 10_000,
      })
      return (JSON.parse(line) as { report: LoadReport }).report
    } finally {
      await this.#client.stop("SIGKILL")
    }
  }
}

function progressOf(line: string): LoadProgress {
  try {
    return (JSON.parse(line) as { progress: LoadProgress }).progress
  } catch (cause) {
    throw new CodedError("malformed-progress", "the load client wrote half a line", { cause })
  }
}

/** One line for people: what was done and how fast. */
export function summaryOf(report: LoadReport): string {
  const { connects, failed, handshakeMs, requestMs, longestGapMs, startedAt, endedAt } = report
  const perSecond = Math.round((connects * 1_000) / Math.max(1, endedAt - startedAt))
  return [
    `${connects} handshakes (${perSecond}/s), ${failed} failed`,
    `handshake p50 ${handshakeMs.p50} p99 ${handshakeMs.p99} max ${handshakeMs.max} ms`,
    `request p99 ${requestMs.p99} max ${requestMs.max} ms`,
    `longest gap ${longestGapMs} ms`,
  ].join("; ")
}
