/** Draws a text again and again: in place on a terminal, one below the other elsewhere. */
import { setTimeout as sleep } from "node:timers/promises"
import { createLogUpdate } from "log-update"

export interface WatchedStream extends NodeJS.WritableStream {
  isTTY?: boolean
  columns?: number
  rows?: number
}

export interface WatchOptions {
  stream: WatchedStream
  intervalMs: number
  /** Ends it, after what is being drawn. */
  signal: AbortSignal
  /** The next text; it must not reject. */
  next: () => Promise<string>
}

/** Returns when `signal` aborts, with the last text standing and the cursor as it was. */
export async function watch({ stream, intervalMs, signal, next }: WatchOptions): Promise<void> {
  // A terminal that does not know its width cannot be drawn over.
  const screen =
    stream.isTTY && stream.columns ? createLogUpdate(stream as NodeJS.WriteStream) : undefined
  try {
    while (!signal.aborted) {
      const text = await next()
      if (signal.aborted) break
      if (screen === undefined) stream.write(`${text}\n`)
      else screen(fitting(text, stream.rows || 24))
      await sleep(intervalMs, undefined, { signal }).catch(() => {})
    }
  } finally {
    screen?.done()
  }
}

/** What has scrolled off a terminal cannot be drawn over. */
function fitting(text: string, rows: number): string {
  const lines = text.split("\n")
  const room = Math.max(2, rows - 1)
  if (lines.length <= room) return text
  const left = lines.length - room + 1
  return [...lines.slice(0, room - 1), `… ${left} more lines: tlskeep status`].join("\n")
}
