/** Progress for a person who waits at a terminal: a line each step; nothing for anyone else. */
export interface Progress {
  /** Says what is being done now. */
  step(text: string): void
}

export function progressTo(stream: NodeJS.WriteStream): Progress {
  return {
    step: (text) => {
      if (stream.isTTY) stream.write(`${text}\n`)
    },
  }
}
