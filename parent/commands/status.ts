/** `tlskeep status`: what the running enclave says of itself and its tokens. */
import { pino } from "pino"
import { vsockTransport } from "../../native/addon/vsock-transport.js"
import type { EnclaveDescription } from "../../shared/protocol/control.js"
import { loadConfig } from "../config/load.js"
import { EnclaveHost } from "../enclave-host/enclave-host.js"
import { AgentError } from "../errors.js"
import { RunDir } from "../run-dir.js"

export interface StatusOptions {
  config: string
  json: boolean
}

/** @throws AgentError `enclave-unreachable` if none runs, and as adopting it does */
export async function statusCommand(options: StatusOptions): Promise<string> {
  const config = await loadConfig(options.config)
  const host = new EnclaveHost({
    config: config.enclave,
    runDir: await RunDir.open(config.options.run_dir),
    transport: { vsock: vsockTransport },
    log: pino({ level: "silent" }),
  })
  const enclave = await host.adoptRunning()
  if (enclave === undefined) {
    throw new AgentError("enclave-unreachable", `no enclave named ${config.enclave.name} runs`, {
      advice: "Start the agent.",
    })
  }
  enclave.client.close()
  const { description } = enclave
  return options.json ? JSON.stringify(description, null, 2) : readable(description)
}

function readable(description: EnclaveDescription): string {
  const { moduleId, version, policy, debug, pcrs, tokens } = description
  const lines = [
    `enclave  ${moduleId}`,
    `version  ${version}, policy ${policy}${debug ? ", DEBUG MODE: KMS will not trust it" : ""}`,
    `PCR0     ${pcrs["0"]}`,
  ]
  for (const token of tokens) {
    const decryptions = total(token.decryptions ?? {})
    const uses = [
      `${total(token.signatures)} signatures`,
      ...(decryptions === 0 ? [] : [`${decryptions} decryptions`]),
      `${token.refusals} refusals`,
    ]
    lines.push(
      "",
      `token    ${token.label}: ${token.keyType}, ${uses.join(", ")}`,
      `         attested ${iso(token.attestedAt)}, ends ${iso(token.expiresAt)}`,
    )
  }
  return lines.join("\n")
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

function iso(time: number): string {
  return new Date(time).toISOString()
}
