/** Progress for a person who waits at a terminal; nothing for anyone else. */
import ora from "ora"

export interface Progress {
  /** Says what is being done now. */
  step(text: string): void
  /** Takes it away again. */
  stop(): void
}

export function spinner(stream: NodeJS.WriteStream): Progress {
  if (!stream.isTTY) return { step: () => {}, stop: () => {} }
  const shown = ora({ stream, discardStdin: false })
  return {
    step: (text) => {
      shown.start(text)
    },
    stop: () => {
      shown.stop()
    },
  }
}
