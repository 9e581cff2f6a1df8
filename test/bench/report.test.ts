/** What becomes of samples: results, the schema of the file, tables, the picture, targets. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { interleave } from "../../bench/measure/rounds.js"
import { renderChart } from "../../bench/report/chart.js"
import { type Case, resultsOf, type Sample } from "../../bench/report/result.js"
import { reportSchema, resultSchema } from "../../bench/report/schema.js"
import { renderReport, renderTable } from "../../bench/report/table.js"
import { enclaveWithTokens, judge, TARGETS } from "../../bench/report/targets.js"
import { report, result } from "./samples.js"

const CASE: Case = {
  ...{ section: "signatures", name: "a case", key: "P-256", protocol: null, clients: 16 },
}

function sample(perSecond: number, cpuUsPerOp: number | null = 100): Sample {
  return { perSecond, p50Us: 5, p95Us: 6, p99Us: null, cpuUsPerOp, idleShare: 0.1 }
}

describe("rounds", () => {
  it("interleaves everybody, every other round backwards", async () => {
    const order: string[] = []
    const series = await interleave({
      contenders: [{ name: "a" }, { name: "b" }],
      rounds: 3,
      warmUp: async ({ name }) => void order.push(`warm ${name}`),
      measure: async ({ name }, round) => {
        order.push(`${name}${round}`)
        return round
      },
    })
    expect(order).toEqual(["warm a", "warm b", "a0", "b0", "b1", "a1", "a2", "b2"])
    expect([...series]).toEqual([
      ["a", [0, 1, 2]],
      ["b", [0, 1, 2]],
    ])
  })
})

describe("results", () => {
  it("are medians, with ratios to the baseline by round", () => {
    const series = new Map([
      ["key-file", [sample(100), sample(10), sample(120)]],
      ["tlskeep", [sample(50, 200), sample(5, 220), sample(60, 210)]],
    ])
    const [, ours] = resultsOf(CASE, series, "key-file")
    expect(resultSchema.parse(ours)).toMatchObject({
      ...{ contender: "tlskeep", per_second: 50, per_second_rounds: [50, 5, 60] },
      ...{ p50_us: 5, p99_us: null, cpu_us_per_op: 210, ratio: { median: 0.5 } },
      cpu_ratio: { median: 2.1, min: 2, max: 2.2 },
    })
    expect(ours?.per_cpu_second).toBeCloseTo(1e6 / 210)
  })

  it("say nothing of CPU where a round did not", () => {
    const series = new Map([["openssl-speed", [sample(1), sample(2, null)]]])
    expect(resultsOf(CASE, series, "openssl-speed")).toMatchObject([
      { cpu_us_per_op: null, per_cpu_second: null, cpu_ratio: null },
    ])
  })

  it("need their baseline", () => {
    expect(() => resultsOf(CASE, new Map(), "key-file")).toThrow(
      expect.objectContaining({ code: "no-baseline" }),
    )
  })
})

describe("the schema", () => {
  it("takes a whole report and refuses fields that nobody described", () => {
    const whole = report({ results: [result()] })
    expect(reportSchema.parse(whole)).toEqual(whole)
    expect(reportSchema.safeParse({ ...whole, remarks: "" }).success).toBe(false)
  })

  it("takes the report that is in the tree", () => {
    const file = join(import.meta.dirname, "../../bench/results/latest.json")
    const { targets } = reportSchema.parse(JSON.parse(readFileSync(file, "utf8")))
    expect(targets.map(({ figure }) => figure)).toEqual(TARGETS.map(({ figure }) => figure))
  })

  it("is described field by field", () => {
    const page = readFileSync(join(import.meta.dirname, "../../bench/README.md"), "utf8")
    const described = new Set(page.match(/(?<=`)[a-z0-9_]+(?=`)/g))
    const named = Object.entries(reportSchema.shape).flatMap(([name, schema]) => [
      name,
      ...fieldsOf(schema),
    ])
    expect(named.filter((name) => !described.has(name))).toEqual([])
  })
})

/** Names of the fields of an array's or an object's schema. */
function fieldsOf(schema: unknown): string[] {
  const { element, shape } = schema as { element?: { shape?: object }; shape?: object }
  return Object.keys(element?.shape ?? shape ?? {})
}

describe("tables", () => {
  it("align numbers to the right and text to the left", () => {
    expect(
      renderTable(
        ["who", "how", "many"],
        [
          ["a", "b", "1,000"],
          ["bcd", "ef", "–"],
        ],
      ),
    ).toBe(["who  how   many", "───  ───  ─────", "a    b    1,000", "bcd  ef       –"].join("\n"))
  })

  it("show every part that was measured, and no other", () => {
    const text = renderReport(
      report({
        results: [result({ per_second: 1_234.4 }), result({ contender: "tlskeep-engine" })],
        targets: judge({ results: [], scale: [], memory: [] }),
      }),
    )
    expect(text).toMatch(/^a case\ncontender/)
    expect(text).toContain("1,234")
    expect(text).toContain("Targets\n")
    expect(text).not.toContain("Scale")
    expect(text.match(/not measured/g)).toHaveLength(TARGETS.length)
  })
})

describe("the picture", () => {
  const cases = [
    result({ per_second: 700 }),
    result({ contender: "tlskeep-engine", ratio: { median: 0.96, min: 0.9, max: 1.02 } }),
    result({ contender: "softhsm", clients: 2 }),
    result({ contender: "softhsm", protocol: "TLS1.2" }),
  ]

  it("has a bar for each contender under the most clients, TLS 1.3", () => {
    const svg = renderChart({ results: cases })
    expect(svg.match(/<rect x=/g)).toHaveLength(2)
    expect(svg).toContain(">96 % · 100/s</text>")
    expect(svg).toContain(">tlskeep, engine</text>")
  })

  it("is empty without handshakes", () => {
    expect(renderChart({ results: [] })).not.toContain("<rect x=")
  })
})

describe("targets", () => {
  const ours = (change: Parameters<typeof result>[0]) =>
    result({ contender: "tlskeep-engine", ...change })

  function verdict(figure: string, run: Partial<Parameters<typeof judge>[0]>) {
    const all = judge({ results: [], scale: [], memory: [], ...run })
    return all.find((one) => one.figure === figure)
  }

  it("are each judged once", () => {
    expect(new Set(TARGETS.map(({ figure }) => figure)).size).toBe(11)
  })

  it.each([
    [0.95, true],
    [0.94, false],
  ])("a ratio of %d to the key file", (median, met) => {
    const ratio = { median, min: median, max: median }
    expect(
      verdict("Apache, RSA-2048, 16 clients, tlskeep ÷ key file", { results: [ours({ ratio })] }),
    ).toMatchObject({ target: "≥ 0.95", measured: median, met })
  })

  it("compares two contenders round by round", () => {
    const results = [
      ours({ per_second_rounds: [150, 15, 130] }),
      result({ contender: "softhsm-p11-kit", per_second_rounds: [100, 10, 100] }),
    ]
    expect(
      verdict("Apache, RSA-2048, 16 clients, tlskeep ÷ SoftHSM over p11-kit", { results }),
    ).toMatchObject({ measured: 1.5, met: true })
  })

  it("has CPU per handshake at most so high", () => {
    const cpu_ratio = { median: 1.2, min: 1.1, max: 1.3 }
    expect(
      verdict("CPU per RSA-2048 handshake, tlskeep ÷ key file", { results: [ours({ cpu_ratio })] }),
    ).toMatchObject({ target: "≤ 1.08", measured: 1.2, met: false })
  })

  it("takes the enclave's memory where it is more", () => {
    const rss = (process: string, rss_mib: number) => ({
      ...{ process, rss_mib, pss_mib: rss_mib, private_mib: rss_mib },
    })
    const scale = [
      {
        ...{ what: "keys" as const, value: 128, key: "P-256" as const, rounds: 1, ratio: 1 },
        ...{
          per_second: 1,
          cpu_us_per_op: 1,
          p50_us: 1,
          p99_us: 1,
          enclave_rss_mib: 90,
          module_private_kib: 1,
        },
      },
    ]
    const figure = "enclave RSS with 128 tokens"
    expect(verdict(figure, { scale })).toMatchObject({ measured: 90, met: true })
    const memory = [rss(enclaveWithTokens(1), 300), rss(enclaveWithTokens(128), 121)]
    expect(verdict(figure, { scale, memory })).toMatchObject({ measured: 121, met: false })
    expect(verdict(figure, {})).toMatchObject({ measured: null, met: null })
  })

  it("takes the module's memory for the difference of two workers", () => {
    const worker = (name: string, private_mib: number) => ({
      ...{ process: `Apache worker, ${name}, RSA-2048`, rss_mib: 9, pss_mib: 9, private_mib },
    })
    expect(
      verdict("module memory per Apache child", {
        memory: [worker("key-file", 4), worker("tlskeep-engine", 4.5)],
      }),
    ).toMatchObject({ target: "≤ 1 MiB", measured: 0.5, met: true })
  })
})
