/** What comes from the vsock is decoded or refused with a code: nothing else gets out. */
import { join } from "node:path"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { CONTROL_OPS } from "../../shared/protocol/control.js"
import { decoderProperties, loadSeeds, outcomeOf } from "./decoder-properties.js"

const seeds = loadSeeds(join(import.meta.dirname, "seeds"))

describe("a hostile stream", () => {
  it.each(Object.entries(decoderProperties(seeds)))("of %s", (_name, property) => {
    fc.assert(property, { numRuns: 2_000 })
  })
})

describe("the seeds", () => {
  it.each(seeds)("$name is what its name says", (seed) => {
    const name = seed.name.replace(/^(control|refused)-/, "")
    expect(name.startsWith(outcomeOf(seed)), outcomeOf(seed)).toBe(true)
  })

  it("are of every operation", () => {
    const opsOf = (which: (name: string) => boolean) =>
      new Set(seeds.filter(({ name }) => which(name)).map(outcomeOf))
    const signing = opsOf((name) => !/^(control|refused)-/.test(name))
    expect(signing).toEqual(
      new Set(["hello", "generation", "list", "login", "sign", "random", "decrypt"]),
    )
    expect(opsOf((name) => name.startsWith("control-"))).toEqual(new Set(CONTROL_OPS))
  })
})
