/** Doctor's checks of instance, nitro-cli, allocator, enclave, image and vsock-proxy. */
import { truncate } from "node:fs/promises"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { allocator } from "../../parent/doctor/checks/allocator.js"
import { enclave } from "../../parent/doctor/checks/enclave.js"
import { hugepages } from "../../parent/doctor/checks/hugepages.js"
import { image } from "../../parent/doctor/checks/image.js"
import { instance } from "../../parent/doctor/checks/instance.js"
import { nitroCli } from "../../parent/doctor/checks/nitro-cli.js"
import { root } from "../../parent/doctor/checks/root.js"
import { vsockProxy } from "../../parent/doctor/checks/vsock-proxy.js"
import { DoctorHost, outcomes, PCR0, say } from "./doctor-fixture.js"

let host: DoctorHost
beforeEach(async () => {
  host = await DoctorHost.create()
})
afterEach(() => host.remove())

const RUNNING = {
  EnclaveName: "tlskeep",
  EnclaveID: "i-0123456789abcdef0-enc0199f1e2d3c4b5a",
  State: "RUNNING",
  Flags: "NONE",
  Measurements: { PCR0 },
}

describe("root", () => {
  it.each([
    [0, "ok"],
    [1000, "problem not-root"],
  ])("as user %i: %s", async (uid, outcome) => {
    expect(outcomes(await host.find(root, {}, { uid }))).toEqual([outcome])
  })
})

describe("instance", () => {
  it("finds the driver's device, or says how an instance gets it", async () => {
    const [missing] = await host.find(instance)
    expect(missing?.code).toBe("enclaves-not-enabled")
    expect(missing?.advice).toContain("--enclave-options Enabled=true")
    await host.file("nitro_enclaves", "")
    expect(outcomes(await host.find(instance))).toEqual(["ok"])
  })
})

describe("nitro-cli", () => {
  it("says its version", async () => {
    await host.nitroCli({})
    expect((await host.find(nitroCli))[0]?.title).toBe("Nitro CLI 1.4.2")
  })

  it("is missing, as configured", async () => {
    const enclave = { nitro_cli_path: "/opt/nitro/nitro-cli" }
    const [finding] = await host.find(nitroCli, { enclave })
    expect([finding?.code, finding?.title]).toEqual([
      "nitro-cli-missing",
      "/opt/nitro/nitro-cli was not found",
    ])
  })

  it("fails, in its own words", async () => {
    await host.command("nitro-cli", `${say("cannot open shared object", "stderr")}; exit 127`)
    const [finding] = await host.find(nitroCli)
    expect([finding?.code, finding?.detail]).toEqual([
      "nitro-cli-failed",
      "cannot open shared object",
    ])
  })
})

describe("allocator", () => {
  const inService = (state: string) => host.command("systemctl", say(state))

  it.each([
    ["memory_mib: 512\ncpu_count: 2\n", ["ok"]],
    ["memory_mib: 512\ncpu_pool: 1,5-6\n", ["ok"]],
    ["memory_mib: 511\ncpu_count: 2\n", ["problem allocator-memory-short"]],
    ["memory_mib: 512\ncpu_count: 1\n", ["problem allocator-cpus-short"]],
    ["memory_mib: 512\ncpu_pool: 3\n", ["problem allocator-cpus-short"]],
    ["memory_mib: 1\n", ["problem allocator-memory-short", "problem allocator-cpus-short"]],
    ["memory_mib: lots\n", ["problem allocator-malformed"]],
    ["memory_mib: [\n", ["problem allocator-malformed"]],
  ])("%j: %j", async (text, expected) => {
    await host.file("allocator.yaml", text)
    await inService("active")
    expect(outcomes(await host.find(allocator))).toEqual(expected)
  })

  it("is missing", async () => {
    expect(outcomes(await host.find(allocator))).toEqual(["problem allocator-missing"])
  })

  it.each(["inactive", "failed"])("is %s: its file is not in force", async (state) => {
    await host.file("allocator.yaml", "memory_mib: 4096\ncpu_count: 2\n")
    await inService(state)
    expect(outcomes(await host.find(allocator))).toEqual(["problem allocator-not-active"])
  })

  it("is measured against what the configuration asks for", async () => {
    await host.file("allocator.yaml", "memory_mib: 512\ncpu_count: 2\n")
    const [finding] = await host.find(allocator, { enclave: { memory_mib: 700 } })
    expect(finding?.advice).toContain("memory_mib: 700")
  })
})

describe("hugepages", () => {
  const free = async (small: number, large: number) => {
    await host.file("hugepages/hugepages-2048kB/free_hugepages", `${small}\n`)
    await host.file("hugepages/hugepages-1048576kB/free_hugepages", `${large}\n`)
  }

  it("adds pages of every size", async () => {
    await host.nitroCli({})
    await free(128, 0)
    const [short] = await host.find(hugepages)
    expect([short?.code, short?.detail]).toEqual([
      "hugepages-short",
      "256 MiB are free, enclave.memory_mib is 512. nitro-cli calls this E27.",
    ])
    await free(0, 1)
    expect(outcomes(await host.find(hugepages))).toEqual(["ok"])
  })

  it("are enough while the enclave runs in them", async () => {
    await host.nitroCli({ enclaves: [RUNNING] })
    await free(0, 0)
    expect(outcomes(await host.find(hugepages))).toEqual(["ok"])
  })

  it("cannot be counted", async () => {
    expect(outcomes(await host.find(hugepages))).toEqual(["unknown hugepages-unreadable"])
  })
})

describe("enclave", () => {
  it.each([
    [[RUNNING], {}, ["ok"]],
    [[RUNNING], { expected_pcr0: PCR0.toUpperCase() }, ["ok"]],
    [[RUNNING], { expected_pcr0: "cd".repeat(48) }, ["problem enclave-pcr0-mismatch"]],
    [[{ ...RUNNING, EnclaveName: "other" }], {}, ["problem enclave-not-running"]],
    [[{ ...RUNNING, State: "TERMINATING" }], {}, ["problem enclave-not-running"]],
    [[{ ...RUNNING, Flags: "DEBUG_MODE" }], {}, ["problem enclave-debug-mode"]],
    [
      [{ ...RUNNING, Measurements: { PCR0: "00".repeat(48) } }],
      { expected_pcr0: PCR0 },
      ["problem enclave-debug-mode"],
    ],
    [[], {}, ["problem enclave-not-running"]],
  ])("%j with %j: %j", async (enclaves, change, expected) => {
    await host.nitroCli({ enclaves })
    expect(outcomes(await host.find(enclave, { enclave: change }))).toEqual(expected)
  })

  it.each([
    ["nothing is installed", undefined],
    ["it fails", `${say("[ E39 ] no device", "stderr")}; exit 1`],
    ["it prints no JSON", say("hello")],
  ])("is not listed: %s", async (_, body) => {
    if (body !== undefined) await host.command("nitro-cli", body)
    expect(outcomes(await host.find(enclave))).toEqual(["unknown enclave-unlisted"])
  })
})

describe("image", () => {
  const MIB = 1_048_576
  beforeEach(() => host.file("image.eif", "an image"))

  it.each([
    [{}, {}, ["ok"]],
    [{ enclaves: [RUNNING] }, { expected_pcr0: PCR0 }, ["ok"]],
    [{}, { expected_pcr0: "cd".repeat(48) }, ["problem image-pcr0-mismatch"]],
    [{ pcr0: "cd".repeat(48), enclaves: [RUNNING] }, {}, ["warning image-not-the-running-one"]],
  ])("%j with %j: %j", async (answers, change, expected) => {
    await host.nitroCli(answers)
    expect(outcomes(await host.find(image, { enclave: change }))).toEqual(expected)
  })

  it("is not there", async () => {
    const enclave = { image_path: "/nowhere/tlskeep.eif" }
    expect(outcomes(await host.find(image, { enclave }))).toEqual(["problem image-missing"])
  })

  it("cannot be measured", async () => {
    await host.command("nitro-cli", `${say("[ E36 ] no EIF", "stderr")}; exit 1`)
    const [finding] = await host.find(image)
    expect([finding?.code, finding?.detail]).toEqual([
      "image-unmeasured",
      "nitro-cli describe-eif: it ended with exit code 1: [ E36 ] no EIF",
    ])
  })

  it("is larger than a quarter of the enclave's memory", async () => {
    await host.nitroCli({})
    // A file's size counts, its blocks need not be there.
    await truncate(join(host.dir, "image.eif"), 129 * MIB)
    const [finding] = await host.find(image, { enclave: { memory_mib: 512 } })
    expect([finding?.code, finding?.advice]).toEqual([
      "image-too-large",
      "Set enclave.memory_mib to 516 or more, and the allocator's memory_mib with it.",
    ])
  })
})

describe("vsock-proxy", () => {
  const HOST = "kms.us-east-1.amazonaws.com"
  const allow = (address: string, name = "vsock-proxy.yaml") =>
    host.file(name, `allowlist:\n- {address: ${address}, port: 443}\n`)

  it("relays to KMS of the region and is allowed to", async () => {
    await allow(HOST)
    await host.process(7, ["/usr/bin/vsock-proxy", "-w", "20", "8000", HOST, "443"])
    expect((await host.find(vsockProxy))[0]?.title).toBe(`relays port 8000 to ${HOST}`)
  })

  it("may be a script, and name its allowlist", async () => {
    const file = await allow(HOST, "other.yaml")
    const words = ["--config", file, "8000", HOST, "443"]
    await host.process(7, ["/usr/bin/node", "/opt/bin/vsock-proxy", ...words])
    expect(outcomes(await host.find(vsockProxy))).toEqual(["ok"])
    await host.process(7, [
      "vsock-proxy",
      "--verbose",
      "yes",
      `--config=${file}`,
      "8000",
      HOST,
      "443",
    ])
    expect(outcomes(await host.find(vsockProxy))).toEqual(["ok"])
  })

  it("does not run, or serves another port", async () => {
    await allow(HOST)
    await host.process(1, ["/sbin/init"])
    expect(outcomes(await host.find(vsockProxy))).toEqual(["problem vsock-proxy-not-running"])
    await host.process(7, ["vsock-proxy", "8001", HOST, "443"])
    const [finding] = await host.find(vsockProxy)
    expect(finding?.code).toBe("vsock-proxy-not-running")
    expect(finding?.advice).toContain(`vsock-proxy 8000 ${HOST} 443`)
  })

  it("cannot be seen without /proc, nor judged without a region", async () => {
    expect(outcomes(await host.find(vsockProxy))).toEqual(["unknown vsock-proxy-unseen"])
    vi.stubEnv("AWS_REGION", undefined)
    vi.stubEnv("AWS_DEFAULT_REGION", undefined)
    const found = await host.find(vsockProxy, { aws: { region: undefined } })
    vi.unstubAllEnvs()
    expect(found[0]?.detail).toBe("The region is not known.")
  })

  it("relays to another region's KMS", async () => {
    await allow("kms.cn-north-1.amazonaws.com.cn")
    await host.process(7, ["vsock-proxy", "8000", HOST, "443"])
    const aws = { region: "cn-north-1" }
    expect(outcomes(await host.find(vsockProxy, { aws }))).toEqual([
      "problem vsock-proxy-elsewhere",
    ])
  })

  it("has an allowlist without KMS, or none", async () => {
    await host.process(7, ["vsock-proxy", "8000", HOST, "443"])
    expect(outcomes(await host.find(vsockProxy))).toEqual(["problem vsock-proxy-not-allowed"])
    await allow("kms.eu-west-1.amazonaws.com")
    expect(outcomes(await host.find(vsockProxy))).toEqual(["problem vsock-proxy-not-allowed"])
  })
})
