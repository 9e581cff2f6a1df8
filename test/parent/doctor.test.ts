/** Doctor's runner, its output, and the command: order, time-outs, 80 columns, colour, exit codes. */
import { writeFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { stripVTControlCharacters } from "node:util"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { exitCodeOf } from "../../parent/commands/doctor.js"
import { configuration } from "../../parent/doctor/checks/configuration.js"
import { CHECKS } from "../../parent/doctor/checks.js"
import { commandRunner } from "../../parent/doctor/command.js"
import { FINDINGS, type Finding, withoutUris } from "../../parent/doctor/finding.js"
import { httpRequest } from "../../parent/doctor/http.js"
import { renderFindings } from "../../parent/doctor/render.js"
import { type Check, runChecks } from "../../parent/doctor/run.js"
import { AgentError } from "../../parent/errors.js"
import { CodedError } from "../../shared/errors.js"
import { Compiled } from "../compiled.js"
import { type Outcome, run } from "../sim/process.js"
import { DoctorHost, outcomes, say } from "./doctor-fixture.js"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let host: DoctorHost
beforeEach(async () => {
  host = await DoctorHost.create()
})
afterEach(() => host.remove())

function finding(change: Partial<Finding> = {}): Finding {
  const texts = { title: "the title", detail: "The detail.", advice: "The advice." }
  return { check: "root", level: "problem", code: "not-root", ...texts, ...change }
}

describe("the checks", () => {
  it("are all there, in the order of their findings", () => {
    expect(CHECKS.map(({ name }) => name)).toEqual(Object.keys(FINDINGS))
  })

  it("run side by side and are told in order", async () => {
    let running = 0
    let most = 0
    const slow = (name: Check["name"], ms: number): Check => ({
      name,
      run: async () => {
        most = Math.max(most, ++running)
        await delay(ms)
        running--
        return [finding({ check: name })]
      },
    })
    const checks = [slow("root", 60), slow("instance", 5), slow("imds", 30)]
    const found = await runChecks(checks, host.context())
    expect(found.map(({ check }) => check)).toEqual(["root", "instance", "imds"])
    expect(most).toBe(3)
  })

  it("end in a finding when they hang or fail, by a code and nothing else", async () => {
    const checks: Check[] = [
      { name: "root", run: () => new Promise(() => {}) },
      { name: "imds", run: () => Promise.reject(new CodedError("some-code", "secret")) },
      {
        name: "clock",
        run: () => {
          throw new TypeError("secret")
        },
      },
    ]
    const found = await runChecks(checks, host.context(), 50)
    expect(outcomes(found)).toEqual([
      "unknown check-timed-out",
      "unknown check-failed",
      "unknown check-failed",
    ])
    expect(found.map(({ detail }) => detail)).toEqual(["", "some-code", "TypeError"])
  })

  it("that need a configuration say so where there is none", async () => {
    const error = new AgentError("config-invalid", "x.yaml:1:1: wrong", { advice: "Correct it." })
    const found = await runChecks(CHECKS, host.context({}, { configuration: { error } }))
    const byCheck = new Map(found.map(({ check, code }) => [check, code]))
    expect(byCheck.get("configuration")).toBe("config-invalid")
    expect(byCheck.get("listener")).toBe("not-checked")
    expect(byCheck.get("instance")).toBe("enclaves-not-enabled")
    expect(found.every(({ level, advice }) => (level === "ok") === (advice === ""))).toBe(true)
  })
})

describe("configuration", () => {
  it.each(["config-unreadable", "config-not-yaml", "config-invalid"] as const)(
    "is wrong: %s",
    async (code) => {
      const error = new AgentError(code, "what is wrong", { advice: "Correct it." })
      const [found] = await host.find(configuration, {}, { configuration: { error } })
      expect([found?.code, found?.detail, found?.advice]).toEqual([
        code,
        "what is wrong",
        "Correct it.",
      ])
    },
  )

  it("is right, with what is to be known of it", async () => {
    const config = { ...host.config(), notices: [{ where: "x.yaml:3:1", text: "It is ignored." }] }
    const found = await host.find(configuration, {}, { configuration: { config } })
    expect(outcomes(found)).toEqual(["ok", "warning config-notice"])
    expect([found[1]?.title, found[1]?.detail]).toEqual(["x.yaml:3:1", "It is ignored."])
  })
})

describe("commands of the host", () => {
  it("are ended when they take too long, even if they do not want to", async () => {
    await host.command("stubborn", "trap '' TERM\nwhile :; do :; done")
    const runCommand = commandRunner({ PATH: host.bin }, 100)
    expect(await runCommand("stubborn", [])).toEqual({ kind: "timed-out" })
  })

  it("are missing, or end as they end", async () => {
    await host.command("fails", `${say("no", "stderr")}; exit 3`)
    await host.file("bin/text", "not executable")
    const runCommand = commandRunner({ PATH: host.bin })
    expect(await runCommand("absent", [])).toEqual({ kind: "missing" })
    expect(await runCommand("text", [])).toEqual({ kind: "missing" })
    expect(await runCommand("fails", [])).toEqual({
      kind: "exited",
      code: 3,
      stdout: "",
      stderr: "no",
    })
  })

  it("are quoted without PKCS #11 URIs", () => {
    const text = withoutUris("cannot load 'pkcs11:token=web?pin-value=1234' at \"PKCS11:x\"")
    expect(text).toBe("cannot load 'pkcs11:…' at \"pkcs11:…\"")
  })
})

it("gives up on a server that says nothing", async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const request = { url: `http://127.0.0.1:${port}/`, timeoutMs: 100 }
  await expect(httpRequest(request)).rejects.toMatchObject({ code: "request-timeout" })
  server.close()
})

describe("the output", () => {
  it("says level, check, code, what was seen and what to do", () => {
    expect(renderFindings([finding()], { width: 80, colour: false })).toBe(
      [
        "problem root: the title [not-root]",
        "        The detail.",
        "        -> The advice.",
        "",
        "1 problem, 0 warnings, 0 unknown, 0 ok",
        "",
      ].join("\n"),
    )
  })

  it.each([
    [200, 80],
    [80, 80],
    [60, 60],
    [10, 40],
  ])("on %i columns has lines of at most %i", (width, most) => {
    const long = `A sentence of ordinary words with a path ${"/x".repeat(100)} in it. `.repeat(3)
    const text = renderFindings([finding({ title: long, detail: long, advice: long })], {
      width,
      colour: false,
    })
    const widths = text.split("\n").map((line) => line.length)
    expect(Math.max(...widths)).toBeLessThanOrEqual(most)
    expect(Math.max(...widths)).toBeGreaterThan(most - 12)
    // Nothing is lost: the path is cut, not dropped.
    expect(text.replaceAll(/\s|->/g, "")).toContain("/x".repeat(100))
  })

  it("is coloured where it is wanted, and says the same", () => {
    const findings = (["ok", "warning", "problem", "unknown"] as const).map((level) =>
      finding({ level, advice: level === "ok" ? "" : "Do." }),
    )
    const plain = renderFindings(findings, { width: 80, colour: false })
    const coloured = renderFindings(findings, { width: 80, colour: true })
    expect(coloured).not.toBe(plain)
    expect(stripVTControlCharacters(coloured)).toBe(plain)
    expect(stripVTControlCharacters(plain)).toBe(plain)
    expect(plain).toContain("1 problem, 1 warning, 1 unknown, 1 ok")
  })
})

it.each([
  [["ok", "warning", "unknown"], 0],
  [["ok", "problem"], 1],
  [[], 0],
] as const)("%j exit with %i", (levels, code) => {
  expect(exitCodeOf(levels.map((level) => finding({ level })))).toBe(code)
})

describe("tlskeep doctor", () => {
  let compiled: Compiled
  beforeAll(async () => {
    compiled = await Compiled.cli()
    await compiled.linkAddon()
  })
  afterAll(() => compiled.remove())

  /** On a host where nothing answers, and nothing beyond loopback is asked. */
  function doctor(...args: string[]): Promise<Outcome> {
    return run(process.execPath, [compiled.path("parent/cli.js"), "doctor", ...args], {
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_ENDPOINT_URL_KMS: "https://127.0.0.1:1",
      AWS_ENDPOINT_URL_S3: "https://127.0.0.1:1",
      HOME: host.dir,
      TLSKEEP_LOG: join(host.dir, "pkcs11.log"),
    })
  }

  async function config(): Promise<string> {
    const file = join(host.dir, "tlskeep.yaml")
    const token = {
      label: "web",
      pin: "s3cr3tpin",
      source: { S3: { uri: "s3://keys/web.json" } },
      target: { Snippet: { path: join(host.dir, "web.conf") } },
    }
    const document = {
      enclave: { image_path: "/nowhere/tlskeep.eif", nitro_cli_path: "/nowhere/nitro-cli" },
      options: { run_dir: host.runDir, module_path: "/nowhere/module.so" },
      aws: { region: "us-east-1" },
      tokens: [token],
    }
    await writeFile(file, JSON.stringify(document))
    return file
  }

  it("exits with 1 where there are problems, each with its advice, in 80 columns", async () => {
    const { code, stdout, stderr } = await doctor("--config", await config())
    expect([code, stderr]).toEqual([1, ""])
    for (const found of ["nitro-cli-missing", "image-missing", "kms-unreachable"]) {
      expect(stdout).toContain(`[${found}]`)
    }
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80)
    expect(stripVTControlCharacters(stdout)).toBe(stdout)
    expect(stdout).not.toContain("s3cr3tpin")
    expect(stdout).toMatch(/\n\d+ problems, \d+ warnings?, \d+ unknown, \d+ ok\n$/)
  })

  it("prints JSON of the same", async () => {
    const file = await config()
    const { code, stdout } = await doctor("--json", "--config", file)
    const document = JSON.parse(stdout)
    expect(code).toBe(1)
    expect(document.configFile).toBe(file)
    const findings: Finding[] = document.findings
    expect(findings.map(({ code }) => code)).toContain("module-missing")
    expect(document.counts.problem).toBe(findings.filter((one) => one.level === "problem").length)
    expect(findings.map(({ code }) => code)).not.toContain("check-failed")
    expect(stdout).not.toContain("s3cr3tpin")
  })

  it("looks at what it can where the configuration cannot be read", async () => {
    const { code, stdout } = await doctor("--config", join(host.dir, "none.yaml"))
    expect(code).toBe(1)
    expect(stdout).toMatch(/problem configuration: .*\[config-unreadable\]/)
    expect(stdout).toContain("[not-checked]")
  })

  it("exits with 2 where it cannot run", async () => {
    const { code, stdout, stderr } = await doctor("--confg", "x")
    expect([code, stdout]).toEqual([2, ""])
    expect(stderr).toContain("unknown option '--confg'")
  })

  it("explains its exit codes", async () => {
    const { code, stdout } = await doctor("--help")
    expect(code).toBe(0)
    expect(stdout).toContain("Exit code: 0 no problem, 1 problems, 2 doctor could not run.")
  })
})
