/**
 * Whether the relay to KMS runs on this host: a vsock-proxy at the port that the enclave connects to,
 * for the region's endpoint, and allowed to reach it. Looks, and connects to nothing: a connection to
 * one's own CID is not possible everywhere.
 */
import { readdir, readFile } from "node:fs/promises"
import { basename, join } from "node:path"
import { parse } from "yaml"
import { z } from "zod"
import { systemErrorCode } from "../../shared/errors.js"

export interface VsockProxyCheck {
  /** vsock port that the enclave's KMS client connects to. */
  port: number
  /** `kms.<region>.amazonaws.com`, or of the region's partition. */
  remoteHost: string
  remotePort?: number
  /** Where processes are looked up. */
  procDir?: string
  /** Read where the proxy was started without a file of its own. */
  allowlistFile?: string
}

export type VsockProxyFinding =
  | { state: "running"; pid: number }
  | { state: "not-running" | "other-remote" | "not-allowed"; reason: string; advice: string }
  /** /proc could not be read, as by someone else than root under hidepid. */
  | { state: "unknown"; reason: string; advice: string }

/** What aws-nitro-enclaves-cli installs. */
const ALLOWLIST_FILE = "/etc/nitro_enclaves/vsock-proxy.yaml"
const START = "systemctl enable --now nitro-enclaves-vsock-proxy"

/** The arguments of a running vsock-proxy. */
interface ProxyProcess {
  pid: number
  localPort: number
  remoteHost: string
  remotePort: number
  configFile?: string
}

/** Looks for the relay; every outcome but `running` says what to do. */
export async function checkVsockProxy(check: VsockProxyCheck): Promise<VsockProxyFinding> {
  const { port, remoteHost, remotePort = 443, procDir = "/proc" } = check
  let proxies: ProxyProcess[]
  try {
    proxies = await vsockProxies(procDir)
  } catch (error) {
    const reason = `cannot look for vsock-proxy: ${systemErrorCode(error) ?? "failed"}`
    return { state: "unknown", reason, advice: `Check that it runs: ${START}.` }
  }
  const remote = `${remoteHost}:${remotePort}`
  const found = proxies.find((proxy) => proxy.localPort === port)
  if (found === undefined) {
    return {
      state: "not-running",
      reason: `no vsock-proxy runs at port ${port}`,
      advice: `Start it: ${START}; it relays to the region's KMS (vsock-proxy ${port} ${remoteHost} ${remotePort}).`,
    }
  }
  if (found.remoteHost !== remoteHost || found.remotePort !== remotePort) {
    return {
      state: "other-remote",
      reason: `vsock-proxy at port ${port} relays to ${found.remoteHost}:${found.remotePort}, the enclave needs ${remote}`,
      advice: `Correct the address in its unit (systemctl edit nitro-enclaves-vsock-proxy), then ${START}.`,
    }
  }
  const file = found.configFile ?? check.allowlistFile ?? ALLOWLIST_FILE
  const allowed = await isAllowed(file, remoteHost, remotePort)
  if (allowed) return { state: "running", pid: found.pid }
  return {
    state: "not-allowed",
    reason: `${file} does not allow ${remote}`,
    advice: `Add {address: ${remoteHost}, port: ${remotePort}} to its allowlist, then systemctl restart nitro-enclaves-vsock-proxy.`,
  }
}

async function vsockProxies(procDir: string): Promise<ProxyProcess[]> {
  const pids = (await readdir(procDir)).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(
    pids.map(async (pid) => {
      // Processes end while they are looked at.
      const command = await readFile(join(procDir, pid, "cmdline"), "utf8").catch(() => "")
      return parseCommand(Number(pid), command.split("\0"))
    }),
  )
  return found.filter((proxy) => proxy !== undefined)
}

/**
 * `vsock-proxy [-4|-6] [-w N] [--config FILE] <local port> <remote address> <remote port>`, which may
 * be a script behind its interpreter.
 */
function parseCommand(pid: number, command: readonly string[]): ProxyProcess | undefined {
  const at = command.slice(0, 3).findIndex((word) => /^vsock-proxy/.test(basename(word)))
  if (at === -1) return undefined
  const positional: string[] = []
  let configFile: string | undefined
  const words = command.slice(at + 1).filter((word) => word !== "")
  for (let index = 0; index < words.length; index += 1) {
    const [word = "", value = words[index + 1]] = words[index]?.split("=", 2) ?? []
    const apart = words[index]?.includes("=") === false
    if (word === "--config" || word === "-c") configFile = value
    const takesValue = ["--config", "-c", "-w", "--num_workers", "--num-workers"].includes(word)
    if (takesValue) index += apart ? 1 : 0
    else if (!word.startsWith("-")) positional.push(word)
  }
  // The last three: a script may have options of its own before them.
  const [localPort, remoteHost, remotePort] = positional.slice(-3)
  if (remoteHost === undefined || remotePort === undefined) return undefined
  return {
    pid,
    localPort: Number(localPort),
    remoteHost,
    remotePort: Number(remotePort),
    ...(configFile === undefined ? {} : { configFile }),
  }
}

const allowlistSchema = z.object({
  allowlist: z.array(z.object({ address: z.string(), port: z.int() })),
})

async function isAllowed(file: string, address: string, port: number): Promise<boolean> {
  try {
    const { allowlist } = allowlistSchema.parse(parse(await readFile(file, "utf8")))
    return allowlist.some((entry) => entry.address === address && entry.port === port)
  } catch {
    // vsock-proxy itself refuses to start on such a file: the next start will fail.
    return false
  }
}
