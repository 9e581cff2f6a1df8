/** The compiled `tlskeep eif`: what it prints, its exit codes, and how it refuses. */

import { readFile, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { Compiled } from "../compiled.js"
import { type Outcome, run } from "../sim/process.js"
import { makeInputs, makeSigningFiles, testFolder } from "./images.js"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

/** A sparse file of it costs nothing; read whole it would be in the process's memory. */
const LARGE_BYTES = 268_435_456
/** Runs a command and prints the most memory that it had, in KiB, as the last line. */
const PEAK_MEMORY = `
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
`
const dir = await testFolder()
let compiled: Compiled
let parts: string[]
beforeAll(async () => {
  compiled = await Compiled.cli()
  const { kernel, cmdline, ramdisks } = await makeInputs(dir)
  parts = ["--kernel", kernel, "--cmdline", String(cmdline), "--ramdisk", ...ramdisks]
})
afterAll(() => compiled.remove())

function eif(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return run(process.execPath, [compiled.path("parent/cli.js"), "eif", ...args], env)
}

describe("tlskeep eif", () => {
  it("builds the same file twice, and describes and measures it", async () => {
    const [first, second] = [join(dir, "first.eif"), join(dir, "second.eif")]
    const built = await eif(["build", ...parts, "--output", first, "--name", "web", "--json"])
    expect(built).toMatchObject({ code: 0, stderr: "" })
    await eif(["build", ...parts, "--output", second, "--name", "web"])
    expect((await readFile(first)).equals(await readFile(second))).toBe(true)

    const { Measurements: measurements } = JSON.parse(built.stdout)
    const pcrs = await eif(["pcrs", first, "--json"])
    expect(JSON.parse(pcrs.stdout)).toEqual({ Measurements: measurements })
    expect((await eif(["pcrs", first])).stdout).toContain(`PCR0     ${measurements.PCR0}\n`)

    const described = await eif(["describe", first, "--json"])
    expect(described.code).toBe(0)
    expect(JSON.parse(described.stdout)).toMatchObject({
      EifVersion: 4,
      Measurements: measurements,
      IsSigned: false,
      CheckCRC: true,
      ImageName: "web",
      ImageVersion: "1.0",
      Metadata: {
        BuildMetadata: { BuildTime: "1970-01-01T00:00:00.000Z", BuildTool: "tlskeep" },
        DockerInfo: {},
        CustomMetadata: {},
      },
      Architecture: "x86_64",
    })
    const { stdout } = await eif(["describe", first])
    expect(stdout).toContain('image    "web" "1.0"\n')
    expect(stdout).toContain("section  kernel    70001 bytes\n")
    expect(stdout).toContain("checksum right\nsigned   no\n")
  })

  it("dates an image by SOURCE_DATE_EPOCH, which measures the same", async () => {
    const [plain, dated] = [join(dir, "plain.eif"), join(dir, "dated.eif")]
    await eif(["build", ...parts, "--output", plain])
    await eif(["build", ...parts, "--output", dated], { SOURCE_DATE_EPOCH: "1760000000" })
    const { stdout } = await eif(["describe", dated, "--json"])
    expect(JSON.parse(stdout).Metadata.BuildMetadata.BuildTime).toBe("2025-10-09T08:53:20.000Z")
    expect((await eif(["pcrs", dated])).stdout).toBe((await eif(["pcrs", plain])).stdout)
    const bad = await eif(["build", ...parts, "--output", dated], { SOURCE_DATE_EPOCH: "today" })
    expect(bad).toMatchObject({ code: 1, stderr: expect.stringContaining("malformed-metadata") })
  })

  it("signs", async () => {
    const files = await makeSigningFiles(dir, "P-384")
    const output = join(dir, "signed.eif")
    const signing = ["--private-key", files.key, "--signing-certificate", files.certificate]
    await eif(["build", ...parts, "--output", output, ...signing])
    const described = JSON.parse((await eif(["describe", output, "--json"])).stdout)
    expect(described).toMatchObject({
      IsSigned: true,
      SignatureCheck: true,
      SigningCertificate: {
        IssuerName: {
          countryName: "US",
          organizationName: "Example",
          commonName: "image signer",
        },
        Algorithm: "ecdsa-with-SHA384",
        NotBefore: files.x509.validFrom,
        NotAfter: files.x509.validTo,
        Signature: expect.stringMatching(/^30:[0-9A-F:]+$/),
      },
    })
    expect((await eif(["describe", output])).stdout).toContain('signed   yes, by "image signer"')
    const pcrs = await eif(["pcrs", output, "--require-signed", "--json"])
    expect(JSON.parse(pcrs.stdout).Measurements.PCR8).toBe(described.Measurements.PCR8)

    const half = await eif(["build", ...parts, "--output", output, ...signing.slice(0, 2)])
    expect(half).toMatchObject({ code: 1, stderr: expect.stringContaining("not-signed") })
  })

  it("needs little memory for a large image", async () => {
    const ramdisk = join(dir, "large")
    await writeFile(ramdisk, "")
    await truncate(ramdisk, LARGE_BYTES)
    const output = join(dir, "large.eif")
    const large = ["--kernel", parts[1] ?? "", "--cmdline", "x", "--ramdisk", ramdisk]
    for (const args of [
      ["build", ...large, "--output", output],
      ["describe", output],
    ]) {
      const command = [process.execPath, compiled.path("parent/cli.js"), "eif", ...args]
      const { code, stdout } = await run("python3", ["-c", PEAK_MEMORY, ...command])
      expect(code).toBe(0)
      expect(Number(stdout.trim().split("\n").at(-1)) * 1_024).toBeLessThan(LARGE_BYTES)
    }
  })

  it("refuses to measure a damaged, wrongly signed or unsigned image", async () => {
    const output = join(dir, "damaged.eif")
    await eif(["build", ...parts, "--output", output])
    const unsigned = await eif(["pcrs", output, "--require-signed"])
    expect(unsigned).toMatchObject({ code: 1, stderr: expect.stringContaining("not-signed") })
    const bytes = await readFile(output)
    bytes.writeUInt8((bytes[bytes.length - 1] ?? 0) ^ 1, bytes.length - 1)
    await writeFile(output, bytes)
    const damaged = await eif(["pcrs", output])
    expect(damaged).toMatchObject({ code: 1, stdout: "" })
    expect(damaged.stderr).toMatch(/^tlskeep: crc-mismatch: .*damaged/)
    const described = await eif(["describe", output])
    expect(described).toMatchObject({ code: 1, stdout: expect.stringContaining("checksum WRONG") })
    const absent = await eif(["describe", join(dir, "absent.eif")])
    expect(absent).toMatchObject({ code: 1, stderr: expect.stringContaining("eif-unreadable") })
  })
})
