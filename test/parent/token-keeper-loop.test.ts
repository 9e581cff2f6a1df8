/** When a keeper looks, has its token attested again, and tries again. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import type { TokenKeeper } from "../../parent/agent/token-keeper.js"
import { controlRefusal } from "../../parent/control-refusal.js"
import type { OwnedEnclave } from "../../parent/enclave-host/enclave-host.js"
import { AgentError } from "../../parent/errors.js"
import { NEW, SOURCE_AWAY, useKeeperBench } from "./keeper-bench.js"

// Fake timers leave this module alone: here it stands on the timers that they do replace.
vi.mock("node:timers/promises", () => ({
  setTimeout: (ms: number, value: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", onAbort)
        resolve(value)
      }, ms)
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal.reason)
      }
      if (signal.aborted) onAbort()
      else signal.addEventListener("abort", onAbort, { once: true })
    }),
}))

const HOUR_MS = 3_600_000
const NOT_PRESENTED = new AgentError("certificate-not-presented", "no")
const bench = useKeeperBench()
const { adopted, enclave, failNext, keeper, stepsSoFar } = bench

describe("keep", () => {
  let stop: AbortController
  let kept: Promise<void> | undefined
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.UTC(2026, 2, 1) })
    stop = new AbortController()
  })
  afterEach(async () => {
    stop.abort()
    await kept
    kept = undefined
  })

  /** Starts to keep, through the first round. */
  async function keep(token: TokenKeeper, host: OwnedEnclave): Promise<void> {
    kept = token.keep(host, stop.signal)
    await vi.advanceTimersByTimeAsync(0)
  }

  it("looks at the source at each interval", async () => {
    await keep(keeper(), enclave())
    expect(stepsSoFar()).toEqual(NEW)
    await vi.advanceTimersByTimeAsync(599_999)
    expect(stepsSoFar()).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(stepsSoFar()).toEqual(["fetch"])
  })

  it("tells how long a round takes that gets nowhere", async () => {
    const token = keeper({ publish: () => new Promise(() => {}) })
    await keep(token, enclave())
    await vi.advanceTimersByTimeAsync(HOUR_MS)
    expect(token.roundTakesMs).toBe(HOUR_MS)
    // It is not waited for: nothing ends it.
    kept = undefined
  })

  it("has no round under way while it waits for the next", async () => {
    const token = keeper()
    await keep(token, enclave())
    await vi.advanceTimersByTimeAsync(599_999)
    expect(token.roundTakesMs).toBe(0)
  })

  it("has the token attested again when it is due, and once", async () => {
    await keep(keeper(), enclave())
    await vi.advanceTimersByTimeAsync(12 * HOUR_MS - 1)
    expect(stepsSoFar()).not.toContain("refresh")
    await vi.advanceTimersByTimeAsync(1)
    expect(stepsSoFar()).toEqual(["fetch", "refresh"])
    await vi.advanceTimersByTimeAsync(12 * HOUR_MS - 1)
    expect(stepsSoFar()).not.toContain("refresh")
    await vi.advanceTimersByTimeAsync(1)
    expect(stepsSoFar()).toContain("refresh")
  })

  it("counts from the attestation of an adopted token, by the enclave's own clock", async () => {
    await keep(keeper(), adopted(bench.first, 11 * HOUR_MS, -5 * HOUR_MS))
    expect(stepsSoFar()).toEqual(["fetch", "self-test", "publish"])
    await vi.advanceTimersByTimeAsync(HOUR_MS - 1)
    expect(stepsSoFar()).not.toContain("refresh")
    await vi.advanceTimersByTimeAsync(1)
    expect(stepsSoFar()).toContain("refresh")
  })

  it("has it attested again while its source is away", async () => {
    await keep(keeper(), enclave())
    stepsSoFar()
    failNext("fetch", ...Array.from({ length: 3_000 }, () => SOURCE_AWAY))
    await vi.advanceTimersByTimeAsync(36 * HOUR_MS)
    const refreshes = stepsSoFar().filter((step) => step === "refresh")
    expect(refreshes.length).toBeGreaterThanOrEqual(2)
    expect(refreshes.length).toBeLessThanOrEqual(3)
  })

  it("does not look more often for want of the source while a token is refused", async () => {
    failNext("fetch", ...Array.from({ length: 100 }, () => SOURCE_AWAY))
    await keep(keeper(), enclave())
    await vi.advanceTimersByTimeAsync(60_000)
    expect(stepsSoFar().every((step) => step === "fetch")).toBe(true)
  })

  it.each(["kms-access-denied", "kms-explicit-deny", "unknown-token"] as const)(
    "provisions anew after %s on refresh, which released the token",
    async (code) => {
      failNext("refresh", controlRefusal(code, {}))
      await keep(keeper(), adopted(bench.first))
      await vi.advanceTimersByTimeAsync(12 * HOUR_MS - 1)
      stepsSoFar()
      await vi.advanceTimersByTimeAsync(1)
      expect(stepsSoFar()).toEqual(["fetch", "refresh"])
      await vi.advanceTimersByTimeAsync(500)
      expect(stepsSoFar()).toEqual(["provision", "self-test", "fetch"])
      expect(bench.logged).toContain(`"code":"${code}"`)
    },
  )

  it.each(["kms-throttled", "kms-unreachable", "busy"] as const)(
    "only tries again after %s on refresh",
    async (code) => {
      failNext("refresh", controlRefusal(code, {}))
      await keep(keeper(), enclave())
      await vi.advanceTimersByTimeAsync(12 * HOUR_MS)
      stepsSoFar()
      await vi.advanceTimersByTimeAsync(500)
      expect(stepsSoFar()).toEqual(["fetch", "refresh"])
      await vi.advanceTimersByTimeAsync(60_000)
      expect(stepsSoFar()).toEqual([])
    },
  )

  it("waits twice as long after each failure, a minute at most, and starts over after success", async () => {
    const denied = Array.from({ length: 10 }, () => controlRefusal("kms-access-denied", {}))
    failNext("provision", ...denied)
    await keep(keeper(), enclave())
    expect(stepsSoFar()).toEqual(["fetch", "provision"])
    for (const seconds of [0.5, 1, 2, 4, 8, 16, 32, 60, 60]) {
      await vi.advanceTimersByTimeAsync(seconds * 1_000 - 1)
      expect(stepsSoFar(), `${seconds} s`).toEqual([])
      await vi.advanceTimersByTimeAsync(1)
      expect(stepsSoFar(), `${seconds} s`).toEqual(["provision", "fetch"])
    }
    await vi.advanceTimersByTimeAsync(60_000)
    expect(stepsSoFar()).toEqual(["provision", "self-test", "publish", "fetch"])
    failNext("fetch", SOURCE_AWAY)
    await vi.advanceTimersByTimeAsync(600_000)
    expect(stepsSoFar()).toEqual(["fetch"])
    await vi.advanceTimersByTimeAsync(500)
    expect(stepsSoFar()).toEqual(["fetch"])
    await vi.advanceTimersByTimeAsync(500)
    expect(stepsSoFar()).toEqual([])
  })

  it("does not put the same files on trial again soon when the server did not serve by them", async () => {
    failNext("publish", ...Array.from({ length: 3 }, () => NOT_PRESENTED))
    await keep(keeper(), enclave())
    expect(stepsSoFar()).toEqual(NEW)
    const trials: number[] = []
    for (let minute = 1; minute <= 60; minute++) {
      await vi.advanceTimersByTimeAsync(60_000)
      if (stepsSoFar().includes("publish")) trials.push(minute)
    }
    const [first = 0, second = 0, third = 0] = trials
    expect(trials).toHaveLength(3)
    // It looks once a minute whether the pause is over.
    for (const [pause, minutes] of [
      [first, 5],
      [second - first, 10],
      [third - second, 20],
    ] as const) {
      expect(pause).toBeGreaterThanOrEqual(minutes)
      expect(pause).toBeLessThanOrEqual(minutes + 2)
    }
  })

  it("puts another object's files on trial at once", async () => {
    failNext("publish", NOT_PRESENTED)
    await keep(keeper(), enclave())
    stepsSoFar()
    bench.held = bench.second
    await vi.advanceTimersByTimeAsync(500)
    expect(stepsSoFar()).toContain("publish")
  })

  it("logs each failure once, with its code and when it tries again", async () => {
    failNext("provision", controlRefusal("kms-throttled", {}))
    await keep(keeper(), enclave())
    const errors = bench.logged.split("\n").filter((line) => line.includes('"level":50'))
    expect(errors).toHaveLength(1)
    expect(JSON.parse(errors[0] ?? "")).toMatchObject({ code: "kms-throttled", retryInMs: 500 })
  })

  it("ends at once when it is told to", async () => {
    await keep(keeper(), enclave())
    stop.abort()
    await expect(kept).resolves.toBeUndefined()
    expect(vi.getTimerCount()).toBe(0)
    stepsSoFar()
    await vi.advanceTimersByTimeAsync(HOUR_MS)
    expect(stepsSoFar()).toEqual([])
  })

  it("says nothing of a failure that its end brought about", async () => {
    const host = enclave()
    host.provision.mockImplementation(async () => {
      stop.abort()
      throw new AgentError("enclave-unreachable", "closed")
    })
    await keep(keeper(), host)
    await kept
    expect(bench.logged).toBe("")
  })

  it("does nothing when told so before", async () => {
    stop.abort()
    await keep(keeper(), enclave())
    await kept
    expect(stepsSoFar()).toEqual([])
  })
})
