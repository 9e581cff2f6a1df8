/**
 * Proves that the module signs with the key of a certificate, as a server would find it. Runs in a
 * process of its own: the module blocks while it waits, and it is the module that is on trial.
 */
import { fileURLToPath } from "node:url"
import { ExecaError, execa } from "execa"
import { AgentError } from "../errors.js"

export interface SelfTestRequest {
  modulePath: string
  endpointFile: string
  label: string
  pin: string
  /** The leaf, PEM. */
  certificate: string
}

const WORKER = fileURLToPath(new URL("./worker.js", import.meta.url))
const TIMEOUT_MS = 30_000

/**
 * Signs through the module and verifies against the certificate.
 *
 * @throws AgentError `self-test-failed`
 */
export async function selfTest(request: SelfTestRequest): Promise<void> {
  try {
    await execa(process.execPath, [WORKER], {
      input: JSON.stringify(request),
      env: { TLSKEEP_ENDPOINT_FILE: request.endpointFile },
      timeout: TIMEOUT_MS,
    })
  } catch (cause) {
    const said = cause instanceof ExecaError ? reason(cause) : String(cause)
    throw new AgentError("self-test-failed", `the module's self-test failed: ${said}`, {
      advice: "Check options.module_path and that the enclave is reachable from this host.",
    })
  }
}

/** The end of what the worker said; one that was ended by the time-out has said nothing. */
function reason({ stderr, shortMessage }: ExecaError): string {
  return (
    String(stderr ?? "")
      .trim()
      .slice(-500) || shortMessage
  )
}
