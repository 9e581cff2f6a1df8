/** Reads what ab, openssl speed, perf and callgrind print, and the benchmark's own command line. */
import { describe, expect, it } from "vitest"
import { parseAb, shareOut } from "../../bench/measure/ab.js"
import { parseCallgrind, parsePerf } from "../../bench/measure/instructions.js"
import { parseSpeed } from "../../bench/measure/openssl-speed.js"
import { parsePipeBenchmark } from "../../bench/measure/pipe-round-trip.js"
import { parseOptions } from "../../bench/options.js"
import { PROFILES, SECTIONS } from "../../bench/profile.js"

function code(value: string) {
  return expect.objectContaining({ code: value })
}

describe("ab", () => {
  const run = (change: Record<string, string> = {}) => {
    const lines = {
      "SSL/TLS Protocol": "TLSv1.3,TLS_AES_256_GCM_SHA384,2048,256",
      "Time taken for tests": "0.144 seconds",
      "Complete requests": "200",
      "Failed requests": "0",
      "HTML transferred": "9000 bytes",
      "Requests per second": "1388.25 [#/sec] (mean)",
      ...change,
    }
    const stdout = Object.entries(lines)
      .map(([name, value]) => `${`${name}:`.padEnd(24)}${value}`)
      .join("\n")
    const rows = Array.from(
      { length: 101 },
      (_, percent) => `${percent},${(2 + percent / 8).toFixed(3)}`,
    )
    const csv = ["Percentage served,Time in ms", ...rows, ""].join("\n")
    return { stdout, csv, requests: 200, protocol: "TLS1.3", pageBytes: 45 }
  }

  it("says the time and the percentiles below 100", () => {
    const { seconds, latenciesUs } = parseAb(run())
    expect(seconds).toBe(0.144)
    expect(latenciesUs).toHaveLength(100)
    expect([0, 50, 99].map((percent) => latenciesUs[percent])).toEqual([2_000, 8_250, 14_375])
  })

  it.each([
    [16, 2, [8, 8]],
    [2, 2, [1, 1]],
    [16, 3, [5, 5, 6]],
    [1, 1, [1]],
  ])("shares %i clients out to %i processes", (clients, processes, shares) => {
    expect(shareOut(clients, processes)).toEqual(shares)
  })

  it.each([
    ["a handshake that brought no page", { "HTML transferred": "8955 bytes" }],
    ["an incomplete run", { "Complete requests": "199" }],
    ["a failed request", { "Failed requests": "1" }],
    ["another protocol", { "SSL/TLS Protocol": "TLSv1.2,ECDHE-RSA-AES256-GCM-SHA384,2048,256" }],
  ])("is refused after %s", (_what, change) => {
    expect(() => parseAb(run(change))).toThrow(code("load-failed"))
  })

  it("is refused without percentiles", () => {
    expect(() => parseAb({ ...run(), csv: "" })).toThrow(code("load-failed"))
  })
})

describe("openssl speed", () => {
  it.each([
    ["one process", "+F2:2:2048:1318.811881:31809.000000\n", 1318.811881],
    [
      "several",
      "Forked child 0\nGot: +F4:3:256:1.0:2.0 from 0\nGot: +F4:3:256:2.0:2.0 from 1\n+F4:3:256:3.0:4.0\n",
      3,
    ],
  ])("%s", (_what, stdout, perSecond) => {
    expect(parseSpeed(stdout)).toBe(perSecond)
  })

  it("is refused where it signed nothing", () => {
    expect(() => parseSpeed("speed: Unknown algorithm\n")).toThrow(code("speed-failed"))
  })
})

describe("counters of instructions", () => {
  it("reads perf's", () => {
    expect(parsePerf("12345,,instructions:u,1000,100.00,,\n")).toBe(12_345)
  })

  it("is told where the kernel has none", () => {
    expect(() => parsePerf("<not supported>,,instructions:u,0,100.00,,\n")).toThrow(
      code("no-counter"),
    )
  })

  it("reads callgrind's", () => {
    expect(parseCallgrind("version: 1\nevents: Ir\nfn=(1)\nsummary: 987\n")).toBe(987)
    expect(() => parseCallgrind("version: 1\n")).toThrow(code("no-counter"))
  })
})

describe("the command line", () => {
  it("is a full run unless told otherwise", () => {
    expect(parseOptions([], "/out")).toEqual({
      ...{ profile: PROFILES.full, sections: SECTIONS, out: "/out" },
    })
  })

  it("measures less in a quick run, or what it is told", () => {
    expect(parseOptions(["quick"], "/out").sections).toBe(PROFILES.quick.sections)
    expect(parseOptions(["quick", "--only", "scale,startup", "--out", "/x"], "/out")).toEqual({
      ...{ profile: PROFILES.quick, sections: ["scale", "startup"], out: "/x" },
    })
  })

  it("takes fewer rounds and shorter ones", () => {
    const { profile } = parseOptions(["--rounds", "2", "--seconds", "0.25"], "/out")
    for (const part of [profile.handshakes, profile.signatures, profile.scale]) {
      expect(part).toMatchObject({ rounds: 2, seconds: 0.25 })
    }
    expect(profile.startup.rounds).toBe(2)
    expect(profile.handshakes.clients).toEqual(PROFILES.full.handshakes.clients)
    const fewer = parseOptions(["--rounds", "1"], "/out").profile
    expect(fewer.scale).toEqual({ ...PROFILES.full.scale, rounds: 1 })
  })

  it.each([
    [["slow"]],
    [["quick", "full"]],
    [["--only", "speed"]],
    [["--fast"]],
    [["--rounds", "0"]],
    [["--rounds", "1.5"]],
    [["--seconds", "0.0"]],
    [["--seconds", "long"]],
  ])("refuses %j", (args) => {
    expect(() => parseOptions(args, "/out")).toThrow(code("bad-option"))
  })
})

describe("perf bench sched pipe", () => {
  it("is read by its time for a round trip", () => {
    const stdout =
      "# Running 'sched/pipe' benchmark:\n\n     Total time: 0.832 [sec]\n\n      41.600 usecs/op\n        24038 ops/sec\n"
    expect(parsePipeBenchmark(stdout)).toBe(41.6)
    expect(parsePipeBenchmark("")).toBeNaN()
  })
})
