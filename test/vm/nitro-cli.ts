/**
 * nitro-cli for enclaves in virtual machines: run-enclave, describe-enclaves and terminate-enclave as
 * the agent uses them. Its folder is TLSKEEP_VM_DIR, with `settings.json` of {@link VmSettings} in it.
 */
import { randomBytes } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { parseArgs } from "node:util"
import { z } from "zod"
import { identifyProcess, isRunning } from "../../sim/lifecycle.js"
import { startMachine } from "./machine.js"

const settingsSchema = z.strictObject({
  cache: z.string(),
  nitroPkiDir: z.string(),
  instanceId: z.string(),
  roleArn: z.string(),
  /** The parent's sockets by port. */
  parentPorts: z.record(z.string(), z.string()),
  /** Memory of every machine, whatever it is asked for: what QEMU's boot needs beside the enclave. */
  memoryMib: z.int().optional(),
  /** Further devices of every machine, as QEMU's arguments. */
  devices: z.array(z.string()).optional(),
})
export type VmSettings = z.infer<typeof settingsSchema>

const processSchema = z.strictObject({ pid: z.int(), startTicks: z.number() })
const enclaveSchema = z.strictObject({
  EnclaveName: z.string(),
  EnclaveID: z.string(),
  EnclaveCID: z.int(),
  MemoryMiB: z.int(),
  qemu: processSchema,
  vsock: processSchema,
})
type VmEnclave = z.infer<typeof enclaveSchema>

/** As nitro-cli's automatic ones. */
const FIRST_CID = 16

const dir = realpathSync(process.env.TLSKEEP_VM_DIR ?? "/nonexistent")
const [command = "", ...args] = process.argv.slice(2)
const { values } = parseArgs({
  args,
  options: {
    "eif-path": { type: "string" },
    "cpu-count": { type: "string" },
    memory: { type: "string" },
    "enclave-name": { type: "string" },
    "enclave-id": { type: "string" },
  },
})

switch (command) {
  case "run-enclave":
    print(shown(await run()))
    break
  case "describe-enclaves":
    print(running().map((enclave) => ({ ...shown(enclave), State: "RUNNING", Flags: "NONE" })))
    break
  case "terminate-enclave":
    print(await terminate())
    break
  default:
    process.stderr.write(`unknown command ${command}\n`)
    process.exitCode = 1
}
process.exit()

async function run(): Promise<VmEnclave> {
  const settings = settingsSchema.parse(
    JSON.parse(readFileSync(join(dir, "settings.json"), "utf8")),
  )
  const cid = FIRST_CID + folders().length
  const folder = join(dir, String(cid))
  mkdirSync(folder)
  const enclaveId = `${settings.instanceId}-enc${randomBytes(8).toString("hex")}`
  const memoryMib = settings.memoryMib ?? Number(values.memory)
  const { devices = [], ...others } = settings
  const machine = await startMachine({
    ...others,
    devices,
    dir: folder,
    image: values["eif-path"] ?? "",
    cid,
    memoryMib,
    enclaveId,
    parentPorts: new Map(
      Object.entries(settings.parentPorts).map(([port, path]) => [Number(port), path]),
    ),
  })
  const enclave: VmEnclave = {
    EnclaveName: values["enclave-name"] ?? enclaveId,
    EnclaveID: enclaveId,
    EnclaveCID: cid,
    MemoryMiB: memoryMib,
    ...machine,
  }
  writeFileSync(join(folder, "enclave.json"), JSON.stringify(enclave))
  return enclave
}

async function terminate(): Promise<unknown> {
  const wanted = running().filter(
    ({ EnclaveID, EnclaveName }) =>
      EnclaveID === values["enclave-id"] || EnclaveName === values["enclave-name"],
  )
  for (const { qemu, vsock } of wanted) {
    for (const one of [qemu, vsock]) if (isRunning(one)) process.kill(one.pid, "SIGKILL")
    while (identifyProcess(qemu.pid)?.startTicks === qemu.startTicks) await delay(20)
  }
  return wanted.map(({ EnclaveID }) => ({ EnclaveID, Terminated: true }))
}

/** Machines whose QEMU lives. What is left of one that has died is ended by the way. */
function running(): VmEnclave[] {
  return folders().flatMap((name) => {
    const enclave = readEnclave(join(dir, name, "enclave.json"))
    if (enclave === undefined) return []
    if (isRunning(enclave.qemu)) return [enclave]
    if (isRunning(enclave.vsock)) process.kill(enclave.vsock.pid, "SIGKILL")
    return []
  })
}

function folders(): string[] {
  return readdirSync(dir).filter((name) => /^\d+$/.test(name))
}

function readEnclave(file: string): VmEnclave | undefined {
  try {
    return enclaveSchema.parse(JSON.parse(readFileSync(file, "utf8")))
  } catch {
    return undefined // it boots, or never did
  }
}

function shown({ EnclaveName, EnclaveID, EnclaveCID, MemoryMiB, qemu }: VmEnclave) {
  return { EnclaveName, EnclaveID, EnclaveCID, MemoryMiB, ProcessID: qemu.pid }
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}
