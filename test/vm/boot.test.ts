/**
 * Boots enclave images in virtual machines with a Nitro Secure Module: the production image, unchanged,
 * and the one whose KMS is the simulator's, which serves a page. `make test-vm` runs this.
 */
import { createHash, randomBytes } from "node:crypto"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { ControlClient } from "../../parent/enclave-host/control-client.js"
import { CONTROL_PORT } from "../../shared/protocol/limits.js"
import { type AuditRecord, auditFile } from "../../sim/kms/audit.js"
import { pcr3OfRole, pcr4OfInstance } from "../../sim/nsm/index.js"
import { INSTANCE_ID, ROLE_ARN, simPaths } from "../../sim/paths.js"
import type { BackgroundProcess } from "../../sim/testbed/background-process.js"
import { handshake, Load } from "../../sim/testbed/handshake.js"
import { Testbed } from "../../sim/testbed/testbed.js"
import { makeSigningFiles } from "../eif/images.js"
import {
  consoleOf,
  isPrepared,
  makeVmImage,
  trustingRootOf,
  type VmHost,
  type VmImage,
  vmHost,
} from "./lane.js"
import { vsockSocket } from "./machine.js"
import {
  keyReleasedTo,
  type ServedPage,
  STEP_TIMEOUT_MS,
  startServing,
  waitForEvent,
} from "./served-page.js"

vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 })

const CLIENTS = 4

/** Changes a byte of a program's first line, which is a comment. */
async function changeOneByte(program: string): Promise<void> {
  const bytes = await readFile(program)
  const at = bytes.indexOf("\n") - 1
  expect(bytes.subarray(0, 2).toString()).toBe("//")
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
  await writeFile(program, bytes)
}

const NAME = `in a virtual machine${isPrepared ? "" : " (TLSKEEP_VM is not set: run make test-vm)"}`

describe.skipIf(!isPrepared)(NAME, () => {
  let testbed: Testbed
  let host: VmHost
  const hosts: VmHost[] = []
  const agents: BackgroundProcess[] = []
  beforeAll(async () => {
    testbed = await Testbed.up()
    host = await newHost("vm")
  })
  afterAll(async () => {
    // Agents first: they would start another machine in the place of the one that ends.
    for (const agent of agents) await agent.stop()
    for (const each of hosts) {
      for (const { EnclaveID } of await runningOn(each)) {
        await each.nitroCli("terminate-enclave", "--enclave-id", EnclaveID)
      }
    }
    await testbed?.down()
  })
  const newHost = async (name: string, devices: string[] = []) => {
    const made = await vmHost(testbed, name, devices)
    hosts.push(made)
    return made
  }
  const runningOn = async (one: VmHost) => (await one.nitroCli("describe-enclaves")) as RunningVm[]

  interface RunningVm {
    EnclaveID: string
    EnclaveCID: number
    EnclaveName: string
  }

  async function terminate(name: string): Promise<void> {
    await host.nitroCli("terminate-enclave", "--enclave-name", name)
  }

  /** KMS's records of decryptions. */
  async function decryptions(): Promise<AuditRecord[]> {
    const lines = await readFile(auditFile(simPaths(testbed.info.dir).kmsDir), "utf8")
    const records = lines
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as AuditRecord)
    return records.filter(({ action }) => action === "kms:Decrypt")
  }

  it("the production image, signed, boots and reads from its NSM the PCRs that tlskeep computed", async () => {
    const signing = await makeSigningFiles(testbed.dir, "P-384")
    const image = await makeVmImage(testbed.dir, "production", "enclave", { signing })
    const run = (await host.nitroCli(
      ...["run-enclave", "--eif-path", image.path, "--enclave-name", "production"],
      ...["--cpu-count", "1", "--memory", "512"],
    )) as RunningVm
    const path = vsockSocket(join(host.dir, String(run.EnclaveCID)))
    const client = await connected(path)
    const description = await client.describe()
    client.close()
    const { PCR0, PCR1, PCR2, PCR8 } = image.pcrs
    expect(PCR8).toMatch(/^[0-9a-f]{96}$/)
    expect(description).toMatchObject({
      moduleId: run.EnclaveID,
      debug: false,
      policy: "tls-server",
    })
    expect(description.pcrs).toMatchObject({ 0: PCR0, 1: PCR1, 2: PCR2, 8: PCR8 })
    expect(description.pcrs[3]).toBe(pcr3OfRole(ROLE_ARN).toString("hex"))
    expect(description.pcrs[4]).toBe(pcr4OfInstance(INSTANCE_ID).toString("hex"))
    expect(await consoleOf(host, run.EnclaveCID)).toContain('"msg":"enclave serves"')
    await terminate("production")
  })

  it("an enclave whose random numbers are not the NSM's does not serve, and ends", async () => {
    const image = await makeVmImage(testbed.dir, "entropy", "enclave", {
      firstModule: "virtio-rng",
    })
    const other = await newHost("rng", [
      ...["-object", "rng-random,id=parent,filename=/dev/urandom"],
      ...["-device", "virtio-rng-device,rng=parent"],
    ])
    const { EnclaveCID } = (await other.nitroCli(
      ...["run-enclave", "--eif-path", image.path, "--enclave-name", "entropy"],
      ...["--cpu-count", "1", "--memory", "512"],
    )) as RunningVm
    // What does not serve ends, and its machine with it.
    await vi.waitFor(async () => expect(await runningOn(other)).toEqual([]), {
      timeout: STEP_TIMEOUT_MS,
      interval: 250,
    })
    const console = await consoleOf(other, EnclaveCID)
    expect(console).toContain('"code":"entropy-source"')
    expect(console).toContain("virtio_rng.0")
    expect(console).not.toContain('"msg":"enclave serves"')
  })

  /** A freshly booted enclave listens when Node.js is up. */
  async function connected(path: string): Promise<ControlClient> {
    const deadline = Date.now() + STEP_TIMEOUT_MS
    const address = { kind: "unix+vsock", path, port: CONTROL_PORT } as const
    for (;;) {
      try {
        return await ControlClient.connect(address, randomBytes(32), { timeoutMs: 10_000 })
      } catch (error) {
        if (Date.now() > deadline) throw error
        await new Promise((resolve) => setTimeout(resolve, 250))
      }
    }
  }

  describe("with the simulated KMS", () => {
    let image: VmImage
    let keyArn: string
    let page: ServedPage
    beforeAll(async () => {
      image = await makeVmImage(testbed.dir, "vm", "enclave-vm", {
        change: trustingRootOf(testbed),
      })
      keyArn = await keyReleasedTo(testbed, image)
    })

    const port = () => Number(new URL(page.apache.url).port)
    const shakeHands = () =>
      handshake({ port: port(), ca: testbed.authority.rootPem, timeoutMs: STEP_TIMEOUT_MS })

    it("KMS releases the key to these PCRs, and Apache on the host serves a page with it", async () => {
      page = await startServing(testbed, { name: "vm", host, image, keyArn, keyType: "RSA-2048" })
      agents.push(page.agent)
      await waitForEvent(page, "web server reloaded")
      await page.apache.listening()
      const { stdout } = await execa("curl", ["-sS", "--cacert", testbed.caFile, page.apache.url])
      expect(stdout).toBe(page.apache.page.trim())
      // One on a machine that is at rest; where it is not, an answer may be late and asked for again.
      const releases = await decryptions()
      expect(releases.length).toBeGreaterThan(0)
      for (const release of releases) {
        expect(release).toMatchObject({ decision: "allowed", recipientPcr0: image.pcrs.PCR0 })
      }
    })

    it("the machine is killed under load and booted again, and no handshake fails", async () => {
      const apacheBefore = await page.apache.pid()
      const released = (await decryptions()).length
      const load = new Load(shakeHands)
      load.start(CLIENTS)
      await load.more(10)
      const logged = page.agent.lines.length
      await terminate("vm")
      await waitForEvent(page, "enclave lost", logged)
      await waitForEvent(page, "token provisioned", logged)
      await load.more(20)
      await load.stop()
      expect(load.failures).toEqual([])
      expect(await page.apache.pid()).toBe(apacheBefore)
      expect((await decryptions()).length).toBeGreaterThan(released)
      await page.agent.stop()
      await page.apache.stop()
      await terminate("vm")
    })

    it("an image with one byte changed is refused by KMS", async () => {
      const changed = await makeVmImage(testbed.dir, "changed", "enclave-vm", {
        change: async (folder) => {
          await trustingRootOf(testbed)(folder)
          await changeOneByte(join(folder, "enclave.mjs"))
        },
      })
      expect(changed.pcrs.PCR1).toBe(image.pcrs.PCR1)
      expect(changed.pcrs.PCR0).not.toBe(image.pcrs.PCR0)
      const refused = await startServing(testbed, {
        ...{ name: "changed", host, image: changed, keyArn, keyType: "P-256" },
      })
      agents.push(refused.agent)
      await refused.agent.waitForLine((line) => line.includes('"code":"kms-access-denied"'), {
        timeoutMs: STEP_TIMEOUT_MS,
      })
      const last = (await decryptions()).at(-1)
      expect(last).toMatchObject({ decision: "refused", recipientPcr0: changed.pcrs.PCR0 })
      expect(last?.reason).toContain("AccessDeniedException")
      expect(await refused.apache.pid()).toBeUndefined()
    })

    it("the same bundle gives the same image, byte for byte", async () => {
      const again = await makeVmImage(testbed.dir, "again", "enclave-vm", {
        change: trustingRootOf(testbed),
      })
      const digest = async (path: string) =>
        createHash("sha256")
          .update(await readFile(path))
          .digest("hex")
      expect(again.pcrs).toEqual(image.pcrs)
      expect(await digest(again.path)).toBe(await digest(image.path))
    })
  })
})
