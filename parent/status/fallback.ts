/** What can be said without an agent: the enclave's own description, as its owner's secret opens it. */
import { access } from "node:fs/promises"
import { pino } from "pino"
import { vsockTransport } from "../../native/addon/vsock-transport.js"
import type { EnclaveDescription } from "../../shared/protocol/control.js"
import { EnclaveHost } from "../enclave-host/enclave-host.js"
import { AgentError } from "../errors.js"
import { RunDir } from "../run-dir.js"

/**
 * Asks the running enclave of the configured name.
 *
 * @throws AgentError `agent-not-running` if there is nothing to ask, and as adopting it does
 */
export async function describeWithoutAgent(
  config: ConstructorParameters<typeof EnclaveHost>[0]["config"],
  runDir: string,
): Promise<EnclaveDescription> {
  // Opening would make it: whoever asks for the status leaves no trace.
  const there = await access(runDir).then(
    () => true,
    () => false,
  )
  if (!there) throw nothingRuns(`there is no run directory ${runDir}`)
  const host = new EnclaveHost({
    config,
    runDir: await RunDir.open(runDir),
    transport: { vsock: vsockTransport },
    log: pino({ level: "silent" }),
  })
  const enclave = await host.adoptRunning()
  if (enclave === undefined) throw nothingRuns(`no enclave named ${config.name} runs`)
  enclave.client.close()
  return enclave.description
}

function nothingRuns(fact: string): AgentError {
  return new AgentError("agent-not-running", `no agent runs, and ${fact}`, {
    advice: "Start the agent (systemctl start tlskeep).",
  })
}
