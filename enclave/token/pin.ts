/**
 * The PIN of a token: compared in constant time, and slowed after failures, so that an unprivileged
 * process on the parent, which can always reach the vsock port, cannot try PINs in bulk.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"

export interface PinTiming {
  /** Wait after the first failure in a row, in ms; each further one doubles it. */
  firstDelayMs: number
  /** Longest wait, in ms. */
  maxDelayMs: number
  /** Attempts that may wait for their turn; one more is refused as busy. */
  maxWaiting: number
}

/**
 * After the first few, one try a second for each token: a random PIN of 64 bits is out of reach, and
 * a server that logs in rightly while somebody guesses waits less than the module's deadline.
 */
export const DEFAULT_PIN_TIMING: PinTiming = { firstDelayMs: 50, maxDelayMs: 1_000, maxWaiting: 64 }

export type PinOutcome = "correct" | "incorrect" | "busy"

/**
 * Checks one token's PIN. Attempts are judged one after the other, and a failed one holds up the next:
 * guesses made on many connections at once are no faster than on one.
 */
export class PinGate {
  readonly #key = randomBytes(32)
  readonly #expected: Buffer
  readonly #timing: PinTiming
  #turn: Promise<void> = Promise.resolve()
  #waiting = 0
  #failuresInARow = 0

  constructor(pin: string, timing: PinTiming = DEFAULT_PIN_TIMING) {
    this.#expected = this.#digest(pin)
    this.#timing = timing
  }

  /** True if `pin` is this token's. For the owner's use: not slowed. */
  matches(pin: string): boolean {
    return timingSafeEqual(this.#digest(pin), this.#expected)
  }

  /** Judges one attempt, in its turn. */
  async check(pin: string): Promise<PinOutcome> {
    if (this.#waiting >= this.#timing.maxWaiting) return "busy"
    this.#waiting++
    const turn = this.#turn
    let done: () => void = () => {}
    this.#turn = new Promise((resolve) => {
      done = resolve
    })
    try {
      await turn
      if (this.matches(pin)) {
        this.#failuresInARow = 0
        return "correct"
      }
      this.#failuresInARow++
      await new Promise((resolve) => setTimeout(resolve, this.#delayMs()))
      return "incorrect"
    } finally {
      this.#waiting--
      done()
    }
  }

  #delayMs(): number {
    const doublings = Math.min(this.#failuresInARow - 1, 20)
    return Math.min(this.#timing.firstDelayMs * 2 ** doublings, this.#timing.maxDelayMs)
  }

  /** HMAC under a key of this gate: PINs of any length compare over 32 bytes. */
  #digest(pin: string): Buffer {
    return createHmac("sha256", this.#key).update(pin, "utf8").digest()
  }
}
