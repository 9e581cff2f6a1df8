/** Adopting and starting enclaves, with a nitro-cli and a control service for tests. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pino } from "pino"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { EnclaveHost, type OwnedEnclave } from "../../parent/enclave-host/enclave-host.js"
import { RunDir } from "../../parent/run-dir.js"
import { ControlServer, enclaveDescription, type Handler, PCR0 } from "./control-server.js"
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

let dir: string
let runDir: RunDir
let server: ControlServer | undefined
let owned: OwnedEnclave | undefined
let logged: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "host-"))
  runDir = await RunDir.open(join(dir, "run"))
  await writeFile(join(dir, "image.eif"), "")
  logged = ""
})
afterEach(async () => {
  owned?.client.close()
  owned = undefined
  await server?.stop()
  server = undefined
  await rm(dir, { recursive: true })
})

const describing: Handler = (_request, answer) => answer.result(enclaveDescription())

/** Serves where an enclave of CID 16 would. */
async function serve(handler: Handler = describing, ownHello = false): Promise<void> {
  server = await ControlServer.start(join(dir, "16_10000.sock"), handler, { ownHello })
}

interface Setup extends Script {
  expected_pcr0?: string
  boot_timeout_ms?: number
}

async function host({ expected_pcr0, boot_timeout_ms = 400, ...script }: Setup) {
  const { command, calls } = await fakeNitroCli(dir, {
    "describe-enclaves": "echo '[]'",
    "run-enclave": print(STARTED),
    "terminate-enclave": print(TERMINATED),
    ...script,
  })
  const log = pino({ level: "trace" }, { write: (line: string) => (logged += line) })
  const enclaveHost = new EnclaveHost({
    config: {
      image_path: join(dir, "image.eif"),
      cpu_count: 2,
      memory_mib: 512,
      boot_timeout_ms,
      name: "tlskeep",
      ...(expected_pcr0 === undefined ? {} : { expected_pcr0 }),
      nitro_cli_path: command,
      address_pattern: `unix:${dir}/{cid}_{port}.sock`,
    },
    runDir,
    transport: {},
    log,
  })
  const commands = async () => (await calls()).map((call) => call.split(" ")[0])
  return { enclaveHost, calls, commands }
}

const ADOPTING = { "describe-enclaves": print([RUNNING]) }

describe("where no enclave runs", () => {
  it("starts one and owns it", async () => {
    await serve()
    const { enclaveHost, commands } = await host({})
    owned = await enclaveHost.acquire()
    expect(owned).toMatchObject({
      enclaveId: ENCLAVE_ID,
      adopted: false,
      signing: { kind: "unix", path: join(dir, "16_9999.sock") },
    })
    expect(owned.description.pcrs["0"]).toBe(PCR0)
    expect(await commands()).toEqual(["describe-enclaves", "run-enclave"])
    const secret = await runDir.controlSecret()
    expect(server?.requests[0]).toMatchObject({ op: "hello", fields: { version: 1, secret } })
    expect(logged).not.toContain(secret?.toString("hex"))
  })

  it("makes a new secret for each enclave, before it starts", async () => {
    const before = await runDir.newControlSecret()
    await serve()
    owned = await (await host({})).enclaveHost.acquire()
    const secret = await runDir.controlSecret()
    expect(secret).not.toEqual(before)
    expect(server?.requests[0]?.fields).toEqual({ version: 1, secret })
  })

  it("waits for one that is slow to listen", async () => {
    const { enclaveHost } = await host({ boot_timeout_ms: 5_000 })
    const acquiring = enclaveHost.acquire()
    setTimeout(() => void serve(), 300)
    owned = await acquiring
    expect(owned.adopted).toBe(false)
  })

  it.each([
    ["another name", { ...RUNNING, EnclaveName: "other" }],
    ["no name", { ...RUNNING, EnclaveName: undefined }],
    ["an end ahead", { ...RUNNING, State: "TERMINATING" }],
  ])("starts its own beside one of %s", async (_name, other) => {
    await serve()
    const { enclaveHost } = await host({ "describe-enclaves": print([other]) })
    owned = await enclaveHost.acquire()
    expect(owned.adopted).toBe(false)
  })

  it("asks nitro-cli for nothing where there is no image", async () => {
    await rm(join(dir, "image.eif"))
    const { enclaveHost, commands } = await host({})
    const { code, message, advice } = await refusalOf(enclaveHost.acquire())
    expect(code).toBe("enclave-image-missing")
    expect(message).toContain(join(dir, "image.eif"))
    expect(advice).toContain("enclave.image_path")
    expect(await commands()).toEqual(["describe-enclaves"])
  })

  it("passes on what nitro-cli says", async () => {
    const { enclaveHost } = await host({ "run-enclave": fail("[ E27 ] Insufficient memory") })
    const { code, message } = await refusalOf(enclaveHost.acquire())
    expect(code).toBe("enclave-memory-insufficient")
    expect(message).toContain("E27")
  })
})

describe("an enclave that was started and is of no use is terminated", () => {
  it("when it does not listen in time", async () => {
    const { enclaveHost, calls } = await host({})
    const { code, message, advice } = await refusalOf(enclaveHost.acquire())
    expect(code).toBe("enclave-unreachable")
    expect(message).toContain("400 ms")
    expect(advice).toContain("enclave.boot_timeout_ms")
    expect((await calls()).at(-1)).toBe(`terminate-enclave --enclave-id ${ENCLAVE_ID}`)
  })

  it("when it hangs up on every hello", async () => {
    await serve((_request, answer) => answer.hangUp(), true)
    const { enclaveHost, commands } = await host({})
    expect((await refusalOf(enclaveHost.acquire())).code).toBe("enclave-unreachable")
    expect((await commands()).at(-1)).toBe("terminate-enclave")
    expect(server?.requests.length).toBeGreaterThan(2)
  })

  it("when it takes connections and says nothing", async () => {
    await serve(() => {}, true)
    const { enclaveHost, commands } = await host({})
    const { code, message } = await refusalOf(enclaveHost.acquire())
    expect(code).toBe("enclave-unreachable")
    expect(message).toContain("400 ms")
    expect((await commands()).at(-1)).toBe("terminate-enclave")
  })

  it("when somebody else has come first", async () => {
    await serve((_request, answer) => answer.refuse("not-owner"), true)
    const { enclaveHost, commands } = await host({ boot_timeout_ms: 10_000 })
    expect((await refusalOf(enclaveHost.acquire())).code).toBe("not-owner")
    expect(await commands()).toEqual(["describe-enclaves", "run-enclave", "terminate-enclave"])
    expect(server?.requests).toHaveLength(1)
  })

  it("when it measures otherwise", async () => {
    await serve()
    const { enclaveHost, commands } = await host({ expected_pcr0: "cd".repeat(48) })
    const { code, message, advice } = await refusalOf(enclaveHost.acquire())
    expect(code).toBe("pcr-mismatch")
    expect(message).toContain(PCR0)
    expect(message).toContain("cd".repeat(48))
    expect(advice).toContain("enclave.expected_pcr0")
    expect((await commands()).at(-1)).toBe("terminate-enclave")
  })

  it("and the first failure is reported even if that fails as well", async () => {
    const { enclaveHost } = await host({ "terminate-enclave": fail("[ E33 ] no") })
    expect((await refusalOf(enclaveHost.acquire())).code).toBe("enclave-unreachable")
    expect(logged).toContain("cannot terminate the enclave")
  })
})

describe("an enclave that runs", () => {
  it("is adopted by the secret of the run directory", async () => {
    const secret = await runDir.newControlSecret()
    await serve()
    const { enclaveHost, commands } = await host({ ...ADOPTING, expected_pcr0: PCR0.toUpperCase() })
    owned = await enclaveHost.acquire()
    expect(owned).toMatchObject({ enclaveId: ENCLAVE_ID, adopted: true })
    expect(server?.requests[0]?.fields).toEqual({ version: 1, secret })
    expect(await runDir.controlSecret()).toEqual(secret)
    expect(await commands()).toEqual(["describe-enclaves"])
  })

  it("is replaced when it hangs: takes connections and says nothing", async () => {
    await runDir.newControlSecret()
    await serve(() => {}, true)
    const { enclaveHost, commands } = await host(ADOPTING)
    const { code } = await refusalOf(enclaveHost.acquire())
    // The one that was started in its place is served by the same mute server.
    expect(code).toBe("enclave-unreachable")
    expect(await commands()).toEqual([
      ...["describe-enclaves", "terminate-enclave"],
      ...["run-enclave", "terminate-enclave"],
    ])
    expect(logged).toContain("replacing it")
  })

  it("is not adoptable without one, and left alone", async () => {
    await serve()
    const { enclaveHost, commands } = await host(ADOPTING)
    const { code, message, advice } = await refusalOf(enclaveHost.acquire())
    expect(code).toBe("enclave-not-adoptable")
    expect(message).toContain(ENCLAVE_ID)
    expect(advice).toContain(`nitro-cli terminate-enclave --enclave-id ${ENCLAVE_ID}`)
    expect(await commands()).toEqual(["describe-enclaves"])
    expect(server?.requests).toHaveLength(0)
  })

  it("is left alone when it is another's, or another image", async () => {
    await runDir.newControlSecret()
    await serve((_request, answer) => answer.refuse("not-owner"), true)
    const first = await host(ADOPTING)
    expect((await refusalOf(first.enclaveHost.acquire())).code).toBe("not-owner")
    await server?.stop()
    await serve()
    const second = await host({ ...ADOPTING, expected_pcr0: "cd".repeat(48) })
    expect((await refusalOf(second.enclaveHost.acquire())).code).toBe("pcr-mismatch")
    expect(await second.commands()).toEqual(["describe-enclaves"])
  })
})
