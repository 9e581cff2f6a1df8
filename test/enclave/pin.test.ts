/** The PIN gate: outcomes, delays that double, turns, and the bound on who may wait. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { DEFAULT_PIN_TIMING, PinGate, type PinOutcome } from "../../enclave/token/pin.js"

const TIMING = { firstDelayMs: 50, maxDelayMs: 1_000, maxWaiting: 4, forgetAfterMs: 60_000 }

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

/** How long an attempt takes, by the fake clock, and what comes of it. */
async function timed(attempt: Promise<PinOutcome>): Promise<[PinOutcome, number]> {
  const start = Date.now()
  let outcome: PinOutcome | undefined
  let end = 0
  void attempt.then((it) => {
    outcome = it
    end = Date.now()
  })
  for (let ms = 0; ms <= 10_000 && outcome === undefined; ms++) {
    await vi.advanceTimersByTimeAsync(ms === 0 ? 0 : 1)
  }
  if (outcome === undefined) throw new Error("no outcome in 10 s")
  return [outcome, end - start]
}

describe("an attempt", () => {
  it.each([
    ["the PIN", "1234", "correct"],
    ["another", "1235", "incorrect"],
    ["a prefix", "123", "incorrect"],
    ["the PIN and more", "12345", "incorrect"],
    ["nothing", "", "incorrect"],
    ["something long", "1".repeat(10_000), "incorrect"],
    ["digits of another script", "१२३४", "incorrect"],
  ])("with %s", async (_name, pin, expected) => {
    const gate = new PinGate("1234", TIMING)
    expect((await timed(gate.check(pin)))[0]).toBe(expected)
    expect(gate.matches(pin)).toBe(expected === "correct")
  })

  it("that is right costs no time", async () => {
    const gate = new PinGate("1234", TIMING)
    expect(await timed(gate.check("1234"))).toEqual(["correct", 0])
  })

  it("that is wrong costs twice the time of the one before, up to the longest", async () => {
    const gate = new PinGate("1234", TIMING)
    const delays: number[] = []
    for (let i = 0; i < 8; i++) delays.push((await timed(gate.check("no")))[1])
    expect(delays).toEqual([50, 100, 200, 400, 800, 1000, 1000, 1000])
  })

  it("that is right does not make the next guess cheaper", async () => {
    const gate = new PinGate("1234", TIMING)
    for (let i = 0; i < 4; i++) await timed(gate.check("no"))
    expect(await timed(gate.check("1234"))).toEqual(["correct", 0])
    expect((await timed(gate.check("no")))[1]).toBe(800)
  })

  it("after a quiet time costs the first delay again", async () => {
    const gate = new PinGate("1234", TIMING)
    for (let i = 0; i < 4; i++) await timed(gate.check("no"))
    await vi.advanceTimersByTimeAsync(TIMING.forgetAfterMs - 1_000)
    expect((await timed(gate.check("no")))[1]).toBe(800)
    await vi.advanceTimersByTimeAsync(TIMING.forgetAfterMs + 1)
    expect((await timed(gate.check("no")))[1]).toBe(50)
  })

  it("after thousands of wrong ones still costs the longest delay", async () => {
    const gate = new PinGate("1234", { ...TIMING, firstDelayMs: 1, maxDelayMs: 2 })
    for (let i = 0; i < 2_000; i++) {
      const attempt = gate.check("no")
      await vi.advanceTimersByTimeAsync(2)
      expect(await attempt).toBe("incorrect")
    }
    expect((await timed(gate.check("no")))[1]).toBe(2)
  })
})

describe("attempts made at once", () => {
  it("are answered one after the other if wrong, at once if right", async () => {
    const gate = new PinGate("1234", TIMING)
    const order: [string, number][] = []
    const start = Date.now()
    const attempts = ["a", "b", "1234", "c"].map((pin) =>
      gate.check(pin).then((outcome) => order.push([`${pin} ${outcome}`, Date.now() - start])),
    )
    await vi.advanceTimersByTimeAsync(10_000)
    await Promise.all(attempts)
    expect(order).toEqual([
      ["1234 correct", 0],
      ["a incorrect", 50],
      ["b incorrect", 150],
      ["c incorrect", 350],
    ])
  })

  it("are refused as busy beyond the limit, at once, and taken again after", async () => {
    const gate = new PinGate("1234", TIMING)
    const waiting = Array.from({ length: TIMING.maxWaiting }, () => gate.check("no"))
    expect(await timed(gate.check("1234"))).toEqual(["busy", 0])
    await vi.advanceTimersByTimeAsync(10_000)
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => "incorrect"))
    expect(await timed(gate.check("1234"))).toEqual(["correct", 0])
  })

  it("that are busy do not lengthen the delay", async () => {
    const gate = new PinGate("1234", { ...TIMING, maxWaiting: 1 })
    const first = gate.check("no")
    for (let i = 0; i < 10; i++) expect(await gate.check("no")).toBe("busy")
    await vi.advanceTimersByTimeAsync(50)
    expect(await first).toBe("incorrect")
    expect((await timed(gate.check("no")))[1]).toBe(100)
  })
})

describe("the default timing", () => {
  it("lets through about one guess a second", () => {
    expect(DEFAULT_PIN_TIMING.maxDelayMs).toBe(1_000)
    expect(DEFAULT_PIN_TIMING.firstDelayMs).toBeLessThanOrEqual(100)
  })
})
