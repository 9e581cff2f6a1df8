/** nitro-cli as the agent runs it, played by shell scripts. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeEach, describe, expect, it } from "vitest"
import { NitroCli } from "../../parent/enclave-host/nitro-cli.js"
import {
  ENCLAVE_ID,
  fail,
  fakeNitroCli,
  print,
  RUNNING,
  type Script,
  STARTED,
  TERMINATED,
} from "./fake-nitro-cli.js"
import { refusalOf } from "./refusal.js"

const OPTIONS = { imagePath: "/srv/keep.eif", cpuCount: 2, memoryMib: 512, name: "tlskeep" }
const dirs: string[] = []
let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "nitro-cli-"))
  dirs.push(dir)
})
afterAll(() => Promise.all(dirs.map((one) => rm(one, { recursive: true }))))

async function nitroCli(script: Script) {
  const fake = await fakeNitroCli(dir, script)
  return { cli: new NitroCli(fake.command), calls: fake.calls }
}

describe("commands that succeed", () => {
  it("run with the flags that nitro-cli has", async () => {
    const progress = "echo 'Start allocating memory...' >&2\n"
    const { cli, calls } = await nitroCli({ "run-enclave": progress + print(STARTED) })
    expect(await cli.run(OPTIONS)).toMatchObject({ EnclaveID: ENCLAVE_ID, EnclaveCID: 16 })
    expect(await calls()).toEqual([
      "run-enclave --eif-path /srv/keep.eif --enclave-name tlskeep --cpu-count 2 --memory 512",
    ])
  })

  it("describe none, one and what this version does not know", async () => {
    expect(await (await nitroCli({ "describe-enclaves": "echo '[]'" })).cli.describe()).toEqual([])
    const other = { ...RUNNING, EnclaveName: undefined, State: "TERMINATING", Novelty: [1] }
    const { cli } = await nitroCli({ "describe-enclaves": print([RUNNING, other]) })
    const [first, second] = await cli.describe()
    expect(first).toMatchObject({ EnclaveName: "tlskeep", State: "RUNNING", EnclaveCID: 16 })
    expect(second).toMatchObject({ State: "TERMINATING" })
  })

  it("terminate one", async () => {
    const { cli, calls } = await nitroCli({ "terminate-enclave": print(TERMINATED) })
    await cli.terminate(ENCLAVE_ID)
    expect(await calls()).toEqual([`terminate-enclave --enclave-id ${ENCLAVE_ID}`])
  })
})

describe("commands that fail", () => {
  it.each([
    ["no JSON", "echo 'Segmentation fault'"],
    ["nothing", "true"],
    ["other JSON", "echo '{\"EnclaveID\": 5}'"],
  ])("by printing %s", async (_name, script) => {
    const { cli } = await nitroCli({ "run-enclave": script })
    const { code, message, advice } = await refusalOf(cli.run(OPTIONS))
    expect(code).toBe("nitro-cli-failed")
    expect(message).toContain("run-enclave")
    expect(advice).toContain("--version")
  })

  it("by not having terminated it", async () => {
    const { cli } = await nitroCli({
      "terminate-enclave": print({ ...TERMINATED, Terminated: false }),
    })
    expect((await refusalOf(cli.terminate(ENCLAVE_ID))).code).toBe("nitro-cli-failed")
  })

  it("with its own sentence, without what stands around it", async () => {
    const { cli } = await nitroCli({
      "run-enclave": fail(
        "Start allocating memory...",
        "[ E27 ] Insufficient memory available. User provided `memory` is 512 MB, which is more than the available hugepage memory.",
        "You can increase the available memory by editing the `memory_mib` value.",
        "",
        "For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#E27",
        'If you open a support ticket, please provide the error log found at "/var/log/nitro_enclaves/err.log"',
      ),
    })
    const { code, message, advice } = await refusalOf(cli.run(OPTIONS))
    expect(code).toBe("enclave-memory-insufficient")
    expect(message).toMatch(/^nitro-cli run-enclave failed: \[ E27 ] Insufficient.*memory_mib.*\.$/)
    expect(advice).toMatch(/memory_mib in .*allocator\.yaml .*restart nitro-enclaves-allocator/)
  })

  // Numbers and their subjects as the user guide lists them.
  it.each([
    ["E05", "Process spawn failure.", "nitro-cli-failed", /out of memory/],
    ["E07", "Read from disk failure.", "nitro-not-set-up", /aws-nitro-enclaves-cli/],
    ["E18", "File permissions error.", "nitro-permission-denied", /root/],
    ["E21", "No such CPU available in the pool.", "enclave-cpus-insufficient", /cpu_count/],
    ["E22", "Insufficient CPUs available.", "enclave-cpus-insufficient", /cpu_count/],
    ["E26", "Insufficient memory requested.", "enclave-memory-too-small", /enclave\.memory_mib/],
    ["E28", "Invalid enclave descriptor.", "nitro-device-missing", /Enabled=true/],
    ["E31", "Ioctl set memory region failure.", "enclave-memory-insufficient", /memory_mib/],
    ["E35", "EIF file parsing error.", "enclave-image-invalid", /describe-eif/],
    ["E36", "Enclave boot failure.", "enclave-boot-failed", /--debug-mode/],
    ["E39", "Enclave process connection failure.", "enclave-process-unreachable", /ps -C/],
    ["E42", "Enclave mmap error.", "enclave-memory-insufficient", /memory_mib/],
    ["E51", "Artifacts path not set.", "nitro-cli-failed", /var\/log\/nitro_enclaves/],
    ["E99", "Something new.", "nitro-cli-failed", /var\/log\/nitro_enclaves/],
  ])("with %s: %s", async (number, sentence, expected, advised) => {
    const { cli } = await nitroCli({ "run-enclave": fail(`[ ${number} ] ${sentence}`) })
    const { code, message, advice } = await refusalOf(cli.run(OPTIONS))
    expect(code).toBe(expected)
    expect(message).toBe(`nitro-cli run-enclave failed: [ ${number} ] ${sentence}`)
    expect(advice).toMatch(advised)
  })

  it.each([
    ["the image", "/srv/keep.eif: No such file or directory", "enclave-image-missing"],
    ["the device", "/dev/nitro_enclaves: No such file or directory", "nitro-device-missing"],
    ["its folder", "/var/log/nitro_enclaves: No such file or directory", "nitro-not-set-up"],
    ["leave", "/dev/nitro_enclaves: Permission denied (os error 13)", "nitro-permission-denied"],
    ["memory", "ioctl: Cannot allocate memory (os error 12)", "enclave-memory-insufficient"],
    ["something else", "/srv/other: No such file or directory", "nitro-cli-failed"],
  ])("for want of %s", async (_name, said, expected) => {
    const { cli } = await nitroCli({
      "run-enclave": fail(`[ E19 ] File operation failure: ${said}`),
    })
    const { code, message } = await refusalOf(cli.run(OPTIONS))
    expect(code).toBe(expected)
    expect(message).toContain(said)
  })

  it("because the enclave to end is not there", async () => {
    const { cli } = await nitroCli({ "terminate-enclave": fail("[ E40 ] Socket path not found.") })
    expect((await refusalOf(cli.terminate(ENCLAVE_ID))).code).toBe("enclave-not-found")
  })

  it("in silence", async () => {
    const { cli } = await nitroCli({ "describe-enclaves": "exit 3" })
    const { code, message } = await refusalOf(cli.describe())
    expect(code).toBe("nitro-cli-failed")
    expect(message).toMatch(/describe-enclaves failed: .*exit code 3/)
  })
})

describe("a command that cannot be run", () => {
  it("is missing", async () => {
    const { code, message, advice } = await refusalOf(new NitroCli(join(dir, "none")).describe())
    expect(code).toBe("nitro-cli-missing")
    expect(message).toContain(join(dir, "none"))
    expect(advice).toContain("enclave.nitro_cli_path")
  })

  it("is not executable", async () => {
    const file = join(dir, "plain")
    await writeFile(file, "")
    await chmod(file, 0o644)
    const { code, message } = await refusalOf(new NitroCli(file).describe())
    expect(code).toBe("nitro-cli-failed")
    expect(message).toContain("EACCES")
  })

  it("does not come back in time", async () => {
    const { command } = await fakeNitroCli(dir, { "describe-enclaves": "exec sleep 20" })
    const { code, message, advice } = await refusalOf(
      new NitroCli(command, { commandMs: 300 }).describe(),
    )
    expect(code).toBe("nitro-cli-timeout")
    expect(message).toBe("nitro-cli describe-enclaves timed out after 300 ms")
    expect(advice).toContain("ps -C nitro-cli")
  })
})
