/**
 * What a failed `nitro-cli` means: its E-codes, the kernel's refusals behind them and its time-outs as
 * codes of ours, each with what to do. Source: the Nitro Enclaves user guide, "Nitro CLI error codes".
 */
import { ExecaError } from "execa"
import { AgentError, type AgentErrorCode } from "../errors.js"

export interface NitroCliFailure {
  /** The command as configured. */
  command: string
  args: readonly string[]
  timeoutMs: number
  /** What running it was rejected with. */
  error: unknown
}

type Meaning = readonly [code: AgentErrorCode, advice: string]

const ALLOCATOR = "/etc/nitro_enclaves/allocator.yaml"
const RESTART_ALLOCATOR = "then systemctl restart nitro-enclaves-allocator"
const ERROR_LOG = "Look into /var/log/nitro_enclaves/nitro_enclaves.log."

const MEMORY: Meaning = [
  "enclave-memory-insufficient",
  `Set memory_mib in ${ALLOCATOR} to at least enclave.memory_mib (a replacement beside a running enclave needs it twice), ${RESTART_ALLOCATOR}; if that cannot reserve it, memory is fragmented: reboot the instance.`,
]
const TOO_SMALL: Meaning = [
  "enclave-memory-too-small",
  `Raise enclave.memory_mib to what the message asks for (an image needs about four times its size), and memory_mib in ${ALLOCATOR} with it, ${RESTART_ALLOCATOR}.`,
]
const CPUS: Meaning = [
  "enclave-cpus-insufficient",
  `Set cpu_count in ${ALLOCATOR} to at least enclave.cpu_count (a replacement beside a running enclave needs it twice; with hyper-threading a multiple of 2), ${RESTART_ALLOCATOR}.`,
]
const IMAGE: Meaning = [
  "enclave-image-invalid",
  "Build or copy the image again, and look at it: nitro-cli describe-eif --eif-path FILE.",
]
const BOOT: Meaning = [
  "enclave-boot-failed",
  "Try the image by nitro-cli run-enclave --debug-mode --attach-console; more enclave.memory_mib helps where its kernel runs out of it.",
]
const DEVICE: Meaning = [
  "nitro-device-missing",
  "Launch the instance with --enclave-options Enabled=true (a type that supports enclaves), and load the driver: modprobe nitro_enclaves.",
]
const PERMISSION: Meaning = [
  "nitro-permission-denied",
  "Run the agent as root, or as a member of group ne, and let the unit's hardening reach /dev/nitro_enclaves.",
]
const NOT_SET_UP: Meaning = [
  "nitro-not-set-up",
  "Install aws-nitro-enclaves-cli and start nitro-enclaves-allocator: they make /run/nitro_enclaves and /var/log/nitro_enclaves.",
]
const UNREACHABLE: Meaning = [
  "enclave-process-unreachable",
  "An enclave's process on this host does not answer: find it by ps -C nitro-cli, end it, and remove its socket below /run/nitro_enclaves.",
]
const NOT_FOUND: Meaning = [
  "enclave-not-found",
  "List those that run: nitro-cli describe-enclaves.",
]
const HOST: Meaning = [
  "nitro-cli-failed",
  "The host is out of memory, processes or descriptors: free some, or reboot the instance.",
]
const LEAVE_IT: Meaning = ["nitro-cli-failed", ERROR_LOG]
const IMAGE_MISSING: Meaning = ["enclave-image-missing", "Check enclave.image_path."]

/** By number. Those that are not here come from commands that the agent does not run. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  E04: HOST,
  E05: HOST,
  E06: HOST,
  E07: NOT_SET_UP,
  E08: UNREACHABLE,
  E10: UNREACHABLE,
  E18: PERMISSION,
  E20: CPUS,
  E21: CPUS,
  E22: CPUS,
  E25: MEMORY,
  E26: TOO_SMALL,
  E27: MEMORY,
  E28: DEVICE,
  E31: MEMORY,
  E32: CPUS,
  E34: IMAGE,
  E35: IMAGE,
  E36: BOOT,
  E38: UNREACHABLE,
  E39: UNREACHABLE,
  E40: NOT_FOUND,
  E41: UNREACHABLE,
  E42: MEMORY,
  E58: NOT_FOUND,
}

/**
 * The error for a `nitro-cli` that failed: `nitro-cli-missing`, `nitro-cli-timeout`, what its E-code
 * means, or `nitro-cli-failed` with the end of what it said.
 */
export function nitroCliRefusal(failure: NitroCliFailure): AgentError {
  const { command, args, timeoutMs, error } = failure
  if (!(error instanceof ExecaError)) {
    return refusal(LEAVE_IT, `nitro-cli ${args[0]} failed`, error)
  }
  if (error.code === "ENOENT") {
    const advice = "Install aws-nitro-enclaves-cli, or name it in enclave.nitro_cli_path."
    return refusal(["nitro-cli-missing", advice], `${command} was not found`, error)
  }
  const stderr = String(error.stderr ?? "")
  if (error.timedOut) return timedOut(args[0] ?? "", timeoutMs, stderr, error)
  const said = sentenceOf(stderr) || error.shortMessage
  return refusal(meaningOf(stderr, args), `nitro-cli ${args[0]} failed: ${said}`, error)
}

function timedOut(name: string, timeoutMs: number, stderr: string, cause: unknown): AgentError {
  const said = sentenceOf(stderr)
  const advice =
    name === "run-enclave"
      ? "Starting measures and copies the enclave's whole memory: lower enclave.memory_mib, or see by nitro-cli describe-enclaves whether it runs after all, and end it."
      : "An enclave's process may hang: find it by ps -C nitro-cli, and end it."
  const message = `nitro-cli ${name} timed out after ${timeoutMs} ms${said && `: ${said}`}`
  return refusal(["nitro-cli-timeout", advice], message, cause)
}

function meaningOf(stderr: string, args: readonly string[]): Meaning {
  const number = /\[ (E\d\d) \]/.exec(stderr)?.[1]
  // A file that cannot be opened is one number, whichever file it is.
  if (number === undefined || number === "E19" || number === "E28" || number === "E29") {
    return meaningOfFile(stderr, args) ?? MEANINGS[number ?? ""] ?? LEAVE_IT
  }
  return MEANINGS[number] ?? LEAVE_IT
}

function meaningOfFile(stderr: string, args: readonly string[]): Meaning | undefined {
  const missing = /No such (?:file|device)|os error (?:2|6|19)\b/i.test(stderr)
  const denied = /Permission denied|Operation not permitted|os error (?:1|13)\b/i.test(stderr)
  if (denied) return PERMISSION
  if (/Cannot allocate memory|os error 12\b/i.test(stderr)) return MEMORY
  if (!missing) return undefined
  const image = args[args.indexOf("--eif-path") + 1]
  if (args.includes("--eif-path") && image !== undefined && stderr.includes(image)) {
    return IMAGE_MISSING
  }
  if (stderr.includes("/dev/nitro_enclaves")) return DEVICE
  return /\/(?:run|var\/log)\/nitro_enclaves/.test(stderr) ? NOT_SET_UP : undefined
}

/** What it complained of: the paragraph with the E-code, else the end of what it said. */
function sentenceOf(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.trim())
  const at = lines.findIndex((line) => /\[ E\d\d \]/.test(line))
  const told = at === -1 ? lines.filter(Boolean).slice(-3) : paragraphAt(lines, at)
  return told.join("; ").slice(0, 500)
}

function paragraphAt(lines: readonly string[], at: number): readonly string[] {
  const end = lines.findIndex((line, index) => index > at && (line === "" || isFooter(line)))
  return lines.slice(at, end === -1 ? undefined : end)
}

/** Where to read on and what to send to whom, the same under each error. */
function isFooter(line: string): boolean {
  return /^(For more details|If you open a support ticket|Failed connections)/.test(line)
}

function refusal([code, advice]: Meaning, message: string, cause: unknown): AgentError {
  return new AgentError(code, message, { advice, cause })
}
