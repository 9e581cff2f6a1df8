/** The agent: running, and content with its tokens. */
import type {
  AgentStatus,
  EnclaveStatus,
  ErrorRecord,
  TokenStatus,
} from "../../agent/agent-status.js"
import { AgentClient } from "../../agent-api/client.js"
import { AgentError } from "../../errors.js"
import { type Finding, Reporter } from "../finding.js"
import type { ConfiguredCheck } from "../run.js"
import { runFiles } from "../run-files.js"

const report = new Reporter("agent")

export const agent: ConfiguredCheck = {
  name: "agent",
  runConfigured: async (context, config) => {
    const { agentSocket } = runFiles(config)
    let status: AgentStatus
    try {
      status = await new AgentClient(agentSocket).status()
    } catch (error) {
      if (error instanceof AgentError) return [refusal(agentSocket, error)]
      throw error
    }
    const findings = statusFindings(context.configFile, status)
    if (findings.length > 0) return findings
    const title = "the agent runs, and all its tokens are served"
    return [report.ok(title, `Version ${status.version}.`)]
  },
}

function refusal(socket: string, { code, message, advice }: AgentError): Finding {
  if (code === "agent-not-running") {
    return report.problem(
      "agent-not-running",
      "the agent does not run",
      `Nobody answers at ${socket}.`,
      "systemctl enable --now tlskeep; journalctl -u tlskeep says why where it fails. Web servers go on meanwhile, for 48 h.",
    )
  }
  return report.unknown(
    "agent-unreadable",
    "the agent's answer cannot be understood",
    message,
    advice || "The agent may be of another version than this command: restart it.",
  )
}

function statusFindings(configFile: string, { configFile: its, enclave, tokens }: AgentStatus) {
  return [
    ...(its === configFile ? [] : [otherConfig(configFile, its)]),
    ...(enclave.state === "up" ? [] : [withoutEnclave(enclave)]),
    ...tokens.flatMap(tokenFinding),
  ]
}

function otherConfig(configFile: string, its: string): Finding {
  return report.warning(
    "agent-other-config",
    "the agent runs by another configuration file",
    `It reads ${its}, doctor looked at ${configFile}.`,
    `Give doctor the same: --config ${its}`,
  )
}

function withoutEnclave({ state, error }: EnclaveStatus): Finding {
  return report.problem(
    "agent-without-enclave",
    `the agent has no enclave: it is ${state}`,
    said(error),
    error?.advice || "It tries by itself; correct what is said of instance, allocator and image.",
  )
}

function tokenFinding({ label, state, error }: TokenStatus): Finding[] {
  switch (state) {
    case "serving":
      return []
    case "pending":
      return [
        report.warning(
          "token-pending",
          `token ${label} has not been brought in yet`,
          said(error),
          error?.advice || "Wait a minute; tlskeep status --watch shows it.",
        ),
      ]
    case "degraded":
      return [
        report.warning(
          "token-degraded",
          `token ${label} signs, but its last round failed`,
          said(error),
          error?.advice || "Mend it within 48 h of its last attestation, when it ends.",
        ),
      ]
    case "released":
      return [
        report.problem(
          "token-released",
          `token ${label}: KMS denied it, and the enclave gave its key up`,
          said(error),
          error?.advice ||
            "Let the key policy admit the role and this image's PCR0: tlskeep policy prints it.",
        ),
      ]
    default:
      return [
        report.problem(
          "token-failed",
          `token ${label} does not sign`,
          said(error),
          error?.advice || "tlskeep status shows where it stands.",
        ),
      ]
  }
}

function said(error: ErrorRecord | undefined): string {
  return error === undefined ? "" : `${error.code}: ${error.reason}`
}
