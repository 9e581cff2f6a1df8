/** A logger that keeps its lines for a test to look through. */
import { Writable } from "node:stream"
import { type Logger, pino } from "pino"

export function recordingLog(): { log: Logger; lines: string[] } {
  const lines: string[] = []
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  return { log: pino({ level: "trace" }, sink), lines }
}
