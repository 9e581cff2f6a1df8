/**
 * The PIN of a token: compared in constant time, and slowed after failures, so that an unprivileged
 * process on the parent, which can always reach the vsock port, cannot try PINs in bulk.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"

export interface PinTiming {
  /** Wait after the first failure, in ms; each further one doubles it. */
  firstDelayMs: number
  /** Longest wait, in ms. */
  maxDelayMs: number
  /** Wrong attempts that may be waiting for their answer; while so many are, none is judged. */
  maxWaiting: number
  /** Failures are forgotten after so long without another, in ms. */
  forgetAfterMs: number
}

/** After the first few, one guess a second for each token: a random PIN of 64 bits is out of reach. */
export const DEFAULT_PIN_TIMING: PinTiming = {
  firstDelayMs: 50,
  maxDelayMs: 1_000,
  maxWaiting: 8,
  forgetAfterMs: 60_000,
}

export type PinOutcome = "correct" | "incorrect" | "busy"

/**
 * Checks one token's PIN. Wrong attempts are answered one after the other, each after its wait, and
 * only a few of them may wait: guesses made on many connections at once are no faster than on one.
 * A right one is answered at once, unless so many guesses are waiting that none is judged: then it is
 * told `busy`, which the module tries again until its deadline.
 *
 * A right PIN does not wipe the failures out: servers log in all the time, and guessing beside them
 * would go on at the first delay.
 */
export class PinGate {
  static #made = 0
  /** Of this gate alone among all that this process has made. */
  readonly id = ++PinGate.#made
  readonly #key = randomBytes(32)
  readonly #expected: Buffer
  readonly #timing: PinTiming
  /** Settles when the last wrong attempt has been answered. */
  #turn: Promise<void> = Promise.resolve()
  #waiting = 0
  #failures = 0
  #lastFailureAt = Number.NEGATIVE_INFINITY

  constructor(pin: string, timing: PinTiming = DEFAULT_PIN_TIMING) {
    this.#expected = this.#digest(pin)
    this.#timing = timing
  }

  /** True if `pin` is this token's. For the owner's use: not slowed. */
  matches(pin: string): boolean {
    return timingSafeEqual(this.#digest(pin), this.#expected)
  }

  /** Judges one attempt. */
  async check(pin: string): Promise<PinOutcome> {
    if (this.#waiting >= this.#timing.maxWaiting) return "busy"
    if (this.matches(pin)) return "correct"
    const delayMs = this.#nextDelayMs()
    this.#waiting++
    this.#turn = this.#turn.then(() => new Promise((resolve) => setTimeout(resolve, delayMs)))
    await this.#turn
    this.#waiting--
    return "incorrect"
  }

  #nextDelayMs(): number {
    const now = performance.now()
    if (now - this.#lastFailureAt > this.#timing.forgetAfterMs) this.#failures = 0
    this.#lastFailureAt = now
    const doublings = Math.min(this.#failures++, 20)
    return Math.min(this.#timing.firstDelayMs * 2 ** doublings, this.#timing.maxDelayMs)
  }

  /** HMAC under a key of this gate: PINs of any length compare over 32 bytes. */
  #digest(pin: string): Buffer {
    return createHmac("sha256", this.#key).update(pin, "utf8").digest()
  }
}
