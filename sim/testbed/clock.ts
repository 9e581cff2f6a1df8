/** A clock that processes go by instead of the system's, and that can be made to jump: libfaketime's. */
import { writeFileInOneStep } from "../files.js"

const LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"

export class Clock {
  readonly #file: string

  private constructor(file: string) {
    this.#file = file
  }

  /** @param file - read by the processes whenever they look at the clock */
  static create(file: string): Clock {
    const clock = new Clock(file)
    clock.set(0)
    return clock
  }

  /** What a process is started with to go by this clock. Time-outs and intervals go on as they do. */
  get env(): Record<string, string> {
    return {
      LD_PRELOAD: LIBRARY,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    }
  }

  /** @param offsetSecs - how far the clock is before the system's from now on */
  set(offsetSecs: number): void {
    const sign = offsetSecs < 0 ? "-" : "+"
    writeFileInOneStep(this.#file, `${sign}${Math.abs(offsetSecs)}s\n`)
  }
}
