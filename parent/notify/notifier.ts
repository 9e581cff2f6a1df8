/**
 * Tells the service manager how the agent does, by systemd's notification protocol: ready, a status
 * line, still alive, stopping. Source: sd_notify(3), sd_watchdog_enabled(3).
 */
import { isAddonError } from "../../native/addon/addon-error.js"
import { sendUnixDatagram } from "../../native/addon/unix-datagram.js"

export interface NotifierLog {
  warn(fields: object, message: string): void
}

export interface NotifierOptions {
  /** `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are read from it, and taken out of it. */
  environment: NodeJS.ProcessEnv
  pid: number
  log: NotifierLog
  /**
   * Whether the agent is alive: asked before each sign of life, which is left out where it says no.
   * A loop that is stuck says no; an enclave that is down does not, since a restart of the agent
   * would not mend it.
   */
  alive?: () => boolean
}

/** Every method does nothing where no service manager listens. */
export interface Notifier {
  /** The agent has done what its start consists of. */
  ready(): void
  /** One line for `systemctl status`; sent only where it changed. */
  status(text: string): void
  /** The agent is about to end; no sign of life follows. */
  stopping(): void
}

/**
 * Makes the notifier and starts its signs of life, one each half of the watchdog's time.
 *
 * The variables are removed from `environment`: commands that the agent runs inherit it, and a web
 * server started by one would speak in the agent's name.
 */
export function startNotifier({ environment, pid, log, alive }: NotifierOptions): Notifier {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = environment
  delete environment.NOTIFY_SOCKET
  delete environment.WATCHDOG_USEC
  delete environment.WATCHDOG_PID
  if (socket === undefined || socket === "") {
    return { ready: () => {}, status: () => {}, stopping: () => {} }
  }
  const sender = new Sender(socket, log)
  const periodMs = watchdogPeriodMs(usec, watched, pid)
  const timer =
    periodMs === undefined
      ? undefined
      : setInterval(() => {
          if (alive?.() ?? true) sender.send("WATCHDOG=1")
        }, periodMs).unref()
  let shown = ""
  return {
    ready: () => sender.send("READY=1"),
    status: (text) => {
      const line = oneLine(text)
      if (line === shown) return
      shown = line
      sender.send(`STATUS=${line}`)
    },
    stopping: () => {
      clearInterval(timer)
      sender.send("STOPPING=1")
    },
  }
}

/** Half the time within which the service manager wants a sign of life from process `pid`. */
function watchdogPeriodMs(
  usec: string | undefined,
  watched: string | undefined,
  pid: number,
): number | undefined {
  if (usec === undefined || !/^[1-9][0-9]{0,14}$/.test(usec)) return undefined
  if (watched !== undefined && watched !== "" && watched !== String(pid)) return undefined
  // A timer of Node's takes at most 2^31 - 1 ms.
  return Math.min(Math.max(1, Math.floor(Number(usec) / 2_000)), 2 ** 31 - 1)
}

/** Fields are lines: a line break in a text would begin another. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\s]+/gu, " ").trim()
}

class Sender {
  readonly #socket: string
  readonly #log: NotifierLog
  #failing = false

  constructor(socket: string, log: NotifierLog) {
    this.#socket = socket
    this.#log = log
  }

  /** A notification that fails harms nothing: it is logged, once until one succeeds. */
  send(message: string): void {
    try {
      sendUnixDatagram(this.#socket, message)
      this.#failing = false
    } catch (error) {
      if (!isAddonError(error)) throw error
      if (!this.#failing) this.#log.warn({ code: error.code }, "cannot notify the service manager")
      this.#failing = true
    }
  }
}
