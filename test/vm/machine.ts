/**
 * One virtual machine: vhost-device-vsock and QEMU's nitro-enclave machine, as processes that outlive
 * the one that starts them, and the boot heartbeat that its init owes.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { webcrypto, X509Certificate } from "node:crypto"
import { once } from "node:events"
import { closeSync, existsSync, openSync, readFileSync } from "node:fs"
import { chmod, rm, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { CodedError } from "../../shared/errors.js"
import { identifyProcess, type ProcessIdentity } from "../../sim/lifecycle.js"
import { listenForHeartbeat } from "../../sim/nitro/heartbeat.js"
import { loadNitroPki } from "../../sim/nsm/index.js"

export interface MachineOptions {
  /** Folder of this machine; its sockets are in it, so its path must be short. */
  dir: string
  /** What scripts/vm/prepare.sh filled. */
  cache: string
  image: string
  cid: number
  memoryMib: number
  /** `i-…-enc…`: what the NSM states as its module id. */
  enclaveId: string
  instanceId: string
  roleArn: string
  /** The simulator's attestation root. */
  nitroPkiDir: string
  /** Sockets of the parent by port, which the guest reaches. */
  parentPorts: ReadonlyMap<number, string>
  /** Devices that a machine has beside those of its kind, as QEMU's arguments. */
  devices?: readonly string[]
}

export interface Machine {
  qemu: ProcessIdentity
  vsock: ProcessIdentity
}

const HEARTBEAT_PORT = 9_000
/** The guest boots on an emulated processor, on a machine that others use too. */
const BOOT_TIMEOUT_MS = 180_000
/** The default of vhost-device-vsock stalls bulk sends. */
const TX_BUFFER_BYTES = 32_768

/** The hybrid-vsock socket at which the host reaches the guest of a machine in `dir`. */
export function vsockSocket(dir: string): string {
  return join(dir, "vm.vsock")
}

/**
 * Starts a machine and resolves when its init has sent the heartbeat.
 *
 * @throws CodedError `boot-failed`, with the end of the console; nothing is left running.
 */
export async function startMachine(options: MachineOptions): Promise<Machine> {
  const { dir, parentPorts } = options
  const uds = vsockSocket(dir)
  await writeSigner(options)
  for (const [port, path] of parentPorts) {
    await rm(`${uds}_${port}`, { force: true })
    await symlink(path, `${uds}_${port}`)
  }
  const heartbeat = await listenForHeartbeat(`${uds}_${HEARTBEAT_PORT}`)
  const vsock = start(
    join(options.cache, "bin", "vhost-device-vsock"),
    vsockArguments(options),
    dir,
    "vsock.log",
  )
  const children = [vsock]
  try {
    await appears(join(dir, "vhost.socket"), vsock)
    await appears(uds, vsock)
    // As AF_VSOCK, which has no permissions: a web server's children are not root.
    await chmod(uds, 0o666)
    const qemu = start(
      join(options.cache, "qemu", "qemu-system-x86_64"),
      qemuArguments(options),
      dir,
      "qemu.log",
    )
    children.push(qemu)
    await withinBootTime(heartbeat.beaten, qemu)
    return { qemu: identityOf(qemu), vsock: identityOf(vsock) }
  } catch (cause) {
    for (const child of children) child.kill("SIGKILL")
    throw new CodedError("boot-failed", `the machine does not boot:\n${endOfConsole(dir)}`, {
      cause,
    })
  } finally {
    heartbeat.close()
    for (const child of children) child.unref()
  }
}

function vsockArguments({ dir, cid }: MachineOptions): string[] {
  const fields = [
    `guest-cid=${cid}`,
    `socket=${join(dir, "vhost.socket")}`,
    `uds-path=${vsockSocket(dir)}`,
    `tx-buffer-size=${TX_BUFFER_BYTES}`,
  ]
  return ["--vm", fields.join(",")]
}

function qemuArguments(options: MachineOptions): string[] {
  const { dir, cache, enclaveId, roleArn, instanceId } = options
  const machine = `vsock=c,acpi=on,id=${enclaveId},parent-role=${roleArn},parent-id=${instanceId}`
  return [
    ...["-L", join(cache, "firmware"), "-M", `nitro-enclave,${machine}`],
    ...["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", `${options.memoryMib}M`],
    ...["-kernel", options.image, "-append", `tsc_early_khz=${hostTscKhz()}`],
    ...["-chardev", `socket,id=c,path=${join(dir, "vhost.socket")}`],
    ...["-global", `virtio-nsm-device.signing-key=${join(dir, "nsm.key")}`],
    ...["-global", `virtio-nsm-device.chain=${join(dir, "nsm.pem")}`],
    ...["-display", "none", "-monitor", "none", "-nodefaults", "-no-reboot"],
    ...["-serial", `file:${join(dir, "console.log")}`],
    ...(options.devices ?? []),
  ]
}

/** The key and the path of certificates that this machine's NSM signs documents with. */
async function writeSigner({ dir, nitroPkiDir, enclaveId }: MachineOptions): Promise<void> {
  const leaf = await (await loadNitroPki(nitroPkiDir)).issueLeaf(enclaveId, new Date())
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", leaf.privateKey))
  const base64 = key.toString("base64").replace(/.{64}/g, "$&\n")
  const pem = `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`
  await writeFile(join(dir, "nsm.key"), pem, { mode: 0o600 })
  const chain = [...leaf.cabundle, leaf.certificate].map((der) => `${new X509Certificate(der)}`)
  await writeFile(join(dir, "nsm.pem"), chain.join(""))
}

/**
 * The frequency that the guest takes its time stamp counter to have; without it, it would wait for a
 * timer that this machine lacks. A difference is a clock that goes a little wrong.
 */
function hostTscKhz(): number {
  const [, mhz] = /^cpu MHz\s*:\s*([\d.]+)/m.exec(readFileSync("/proc/cpuinfo", "utf8")) ?? []
  return Math.round(Number(mhz ?? 2_000) * 1_000)
}

function start(command: string, args: string[], dir: string, log: string): ChildProcess {
  const output = openSync(join(dir, log), "a")
  const child = spawn(command, args, {
    cwd: dir,
    detached: true,
    // QEMU unpacks the image there.
    env: { TMPDIR: dir, PATH: process.env.PATH ?? "" },
    stdio: ["ignore", output, output],
  })
  closeSync(output)
  child.on("error", () => {})
  return child
}

async function appears(path: string, child: ChildProcess): Promise<void> {
  for (let waited = 0; !existsSync(path); waited += 20) {
    if (child.exitCode !== null || waited > 10_000) throw new Error(`${path} does not appear`)
    await delay(20)
  }
}

async function withinBootTime(beaten: Promise<void>, qemu: ChildProcess): Promise<void> {
  const abort = new AbortController()
  const late = delay(BOOT_TIMEOUT_MS, undefined, { signal: abort.signal }).then(() => {
    throw new Error("no heartbeat in time")
  })
  const ended = once(qemu, "exit", { signal: abort.signal }).then(() => {
    throw new Error("QEMU ended")
  })
  try {
    await Promise.race([beaten, late, ended])
  } finally {
    abort.abort()
    await Promise.allSettled([late, ended])
  }
}

function identityOf({ pid = 0 }: ChildProcess): ProcessIdentity {
  const identity = identifyProcess(pid)
  if (identity === undefined) throw new Error(`process ${pid} has ended`)
  return identity
}

function endOfConsole(dir: string): string {
  const read = (name: string) =>
    existsSync(join(dir, name)) ? readFileSync(join(dir, name), "utf8") : ""
  return ["qemu.log", "vsock.log", "console.log"].map(read).join("").slice(-2_000)
}
