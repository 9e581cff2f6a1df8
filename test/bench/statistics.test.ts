/** Medians, spreads, ratios by round, and whether something grows. */
import { describe, expect, it } from "vitest"
import { median, quantile, ratioByRound, spreadOf } from "../../bench/report/statistics.js"
import { DESCRIPTOR_ALLOWANCE, judgeFlatness, MEMORY_ALLOWANCE } from "../../bench/soak/flatness.js"

describe("quantiles", () => {
  it.each([
    ["of one value", [7], 0.5, 7],
    ["of an odd number, in any order", [3, 1, 2], 0.5, 2],
    ["between two of an even number", [4, 1, 3, 2], 0.5, 2.5],
    ["at the ends", [1, 2, 3], 1, 3],
    ["by number, not by text", [10, 9, 100], 0.5, 10],
  ])("%s", (_what, values, share, expected) => {
    expect(quantile(values, share)).toBe(expected)
  })

  it("has none without values", () => {
    expect(() => median([])).toThrow(RangeError)
  })
})

describe("ratios", () => {
  it("are taken round by round, so that a slow round counts for nothing", () => {
    // The second round met a neighbour: both are slow, and their ratio is what it was.
    expect(ratioByRound([90, 9, 90], [100, 10, 100])).toEqual({ median: 0.9, min: 0.9, max: 0.9 })
    expect(ratioByRound([50, 80, 90], [100, 100, 100])).toEqual({ median: 0.8, min: 0.5, max: 0.9 })
  })

  it("need as many rounds of both", () => {
    expect(() => ratioByRound([1, 2], [1])).toThrow(RangeError)
  })

  it("have a spread", () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 })
  })
})

describe("flatness over a soak", () => {
  const rising = (from: number, by: number) => Array.from({ length: 40 }, (_, i) => from + i * by)

  it.each([
    ["what stays", rising(100, 0), true],
    [
      "what fills at first and then stays",
      [...rising(50, 5).slice(0, 10), ...rising(100, 0)],
      true,
    ],
    ["what grows by more than collectors leave", rising(100, 1), false],
    ["what is large and grows by a hundredth", rising(1_000, 0.3), true],
  ])("%s", (_what, samples, flat) => {
    expect(judgeFlatness("RSS", samples, MEMORY_ALLOWANCE).flat).toBe(flat)
  })

  it("does not allow a leaked descriptor a renewal", () => {
    expect(judgeFlatness("fds", rising(20, 1), DESCRIPTOR_ALLOWANCE)).toEqual({
      ...{ what: "fds", early: 34.5, late: 54.5, largest: 59, flat: false },
    })
  })

  it("does not judge by a handful of samples", () => {
    expect(judgeFlatness("RSS", [1, 100, 1_000], MEMORY_ALLOWANCE).flat).toBeNull()
  })
})
