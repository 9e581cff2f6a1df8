/**
 * Brings the whole simulated AWS up below one directory and holds it: makes what is not there,
 * starts each service as a process, and when it stops nothing of it is left running.
 */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { closeSync, mkdirSync, openSync } from "node:fs"
import { connect, createServer, type Server, type Socket } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Logger } from "pino"
import { stringify } from "yaml"
import { CodedError } from "../shared/errors.js"
import { KMS_RELAY_PORT } from "../shared/protocol/limits.js"
import { ensureAcmBucket } from "./acm/associate.js"
import { ensureCa } from "./ca.js"
import { readIfThere, writeFileInOneStep } from "./files.js"
import { ensurePrincipals } from "./iam/principals.js"
import { describeSimulator, type SimInfo, writeSimInfo } from "./info.js"
import { listenAtSocket } from "./lifecycle.js"
import { terminateEnclaves } from "./nitro/commands.js"
import { isRecording } from "./nitro/recording.js"
import { createNitroPki, ROOT_FINGERPRINT_FILE } from "./nsm/index.js"
import { KMS_HOST, type SimPaths } from "./paths.js"
import type { ReadyMessage } from "./services.js"

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 5_000
/** Beside the KMS, the real service's file lists many more. */
const ALLOWLIST = { allowlist: [{ address: KMS_HOST, port: 443 }] }
/** More than the real default of 4, so that tests of many enclaves do not queue here. */
const PROXY_WORKERS = 64

/** A running simulator. */
export interface RunningSimulator {
  info: SimInfo
  /** Settles with the name of the first service that ended unasked. */
  failed: Promise<string>
  stop(): Promise<void>
}

/**
 * Starts everything and waits until it answers.
 *
 * @param record - switches recording of the vsock streams on.
 * @throws CodedError `already-up`, or `start-failed` naming the service, after all others have
 *   been stopped.
 */
export async function startSimulator(
  paths: SimPaths,
  record: boolean,
  log: Logger,
): Promise<RunningSimulator> {
  await refuseSecond(paths)
  await prepare(paths, record)
  const children = new ServiceProcesses(paths)
  const power = await holdPower(paths)
  const stop = async () => {
    await terminateEnclaves(paths, { all: true })
    power.off()
    await children.stop()
  }
  try {
    const [kms, s3, iam, imds] = await Promise.all([
      children.startHttp("kms"),
      children.startHttp("s3"),
      children.startHttp("iam"),
      children.startHttp("imds"),
    ])
    const describe = () =>
      describeSimulator(
        paths,
        { kms, s3, iam, imds },
        { up: process.pid, ...children.pids },
        isRecording(paths),
      )
    // The proxy finds the KMS by this file, so it is written before and after.
    writeSimInfo(paths, describe())
    const proxy = [KMS_RELAY_PORT, KMS_HOST, 443].map(String)
    await children.start("vsock-proxy", ["-w", String(PROXY_WORKERS), ...proxy])
    const info = describe()
    writeSimInfo(paths, info)
    log.info({ dir: paths.dir, pids: info.pids }, "up")
    return { info, failed: children.failed, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** @throws CodedError `already-up` if another `up` holds the directory. */
async function refuseSecond({ powerSocket, dir }: SimPaths): Promise<void> {
  const probe = connect(powerSocket)
  const isHeld = await new Promise<boolean>((resolve) => {
    probe.once("connect", () => resolve(true))
    probe.once("error", () => resolve(false))
  })
  probe.destroy()
  if (isHeld) throw new CodedError("already-up", `a simulator is up in ${dir}`)
}

async function prepare(paths: SimPaths, record: boolean): Promise<void> {
  for (const dir of [paths.logDir, paths.vsockDir, paths.enclavesDir, paths.s3Dir, paths.kmsDir]) {
    mkdirSync(dir, { recursive: true })
  }
  if (record) mkdirSync(paths.recordDir, { recursive: true })
  await ensureCa(paths)
  ensurePrincipals(paths)
  ensureAcmBucket(paths)
  if (readIfThere(join(paths.nitroPkiDir, ROOT_FINGERPRINT_FILE)) === undefined) {
    await createNitroPki(paths.nitroPkiDir)
  }
  if (readIfThere(paths.vsockProxyConfig) === undefined) {
    writeFileInOneStep(paths.vsockProxyConfig, stringify(ALLOWLIST))
  }
  writeCommand(paths, "nitro-cli", ["nitro-cli.js"])
  writeCommand(paths, "vsock-proxy", ["main.js", "vsock-proxy"])
}

/** Writes an executable that stands for a host's command. */
function writeCommand({ binDir, dir }: SimPaths, name: string, [module = "", ...args]: string[]) {
  const words = [process.execPath, modulePath(module), ...args].map(quote).join(" ")
  const script = `#!/bin/sh\nTLSKEEP_SIM_DIR=${quote(dir)} exec ${words} "$@"\n`
  writeFileInOneStep(join(binDir, name), script, 0o755)
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

function modulePath(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

/** Enclaves hold a connection here, and end when it does. */
async function holdPower({ powerSocket }: SimPaths): Promise<{ off(): void }> {
  const enclaves = new Set<Socket>()
  const server: Server = createServer((socket) => {
    enclaves.add(socket)
    socket.on("error", () => socket.destroy())
    socket.once("close", () => enclaves.delete(socket))
  })
  await listenAtSocket(server, powerSocket)
  return {
    off: () => {
      server.close()
      for (const socket of enclaves) socket.destroy()
    },
  }
}

/** The child processes of `up`. Their IPC channels close with it, and they end with their channel. */
class ServiceProcesses {
  readonly pids: Record<string, number> = {}
  readonly failed: Promise<string>
  readonly #paths: SimPaths
  readonly #children = new Map<string, ChildProcess>()
  #stopping = false
  #fail: (name: string) => void = () => {}

  constructor(paths: SimPaths) {
    this.#paths = paths
    this.failed = new Promise((resolve) => {
      this.#fail = resolve
    })
  }

  /** @returns the port it listens at. */
  async startHttp(name: "kms" | "s3" | "iam" | "imds"): Promise<number> {
    const port = await this.start(name, [])
    if (port === null) throw startFailure(name, "it listens at no port")
    return port
  }

  async start(name: string, args: string[]): Promise<number | null> {
    const output = openSync(join(this.#paths.logDir, `${name}.log`), "a")
    const child = fork(modulePath("main.js"), [name, "--dir", this.#paths.dir, ...args], {
      stdio: ["ignore", output, output, "ipc"],
    })
    closeSync(output)
    this.#children.set(name, child)
    child.once("exit", () => {
      if (!this.#stopping) this.#fail(name)
    })
    const ready = await awaitReady(name, child)
    if (child.pid !== undefined) this.pids[name] = child.pid
    return ready.port
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all([...this.#children.values()].map(stopChild))
  }
}

function awaitReady(name: string, child: ChildProcess): Promise<ReadyMessage["ready"]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(startFailure(name, "it took too long")), START_TIMEOUT_MS)
    child.once("message", (message) => {
      clearTimeout(timer)
      resolve((message as ReadyMessage).ready)
    })
    child.once("exit", (code, signal) => {
      clearTimeout(timer)
      reject(startFailure(name, `it ended with ${code ?? signal}`))
    })
  })
}

function startFailure(name: string, reason: string): CodedError<"start-failed"> {
  return new CodedError("start-failed", `${name} did not start: ${reason}; see log/${name}.log`)
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, "exit")
  child.kill("SIGTERM")
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS)
  await gone
  clearTimeout(timer)
}
