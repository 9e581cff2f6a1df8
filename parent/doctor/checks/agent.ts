/** The agent: running, and content with its tokens. */
import { z } from "zod"
import type { Config } from "../../config/config.js"
import { type DoctorContext, reasonOf } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import type { HttpAnswer } from "../http.js"
import type { ConfiguredCheck } from "../run.js"
import { runFiles } from "../run-files.js"

const report = new Reporter("agent")

const errorSchema = z.looseObject({
  code: z.string(),
  reason: z.string(),
  advice: z.string().optional(),
})

/** What is looked at of the agent's status. */
const statusSchema = z.looseObject({
  version: z.string(),
  configFile: z.string(),
  enclave: z.looseObject({ state: z.string(), error: errorSchema.optional() }),
  tokens: z.array(
    z.looseObject({ label: z.string(), state: z.string(), error: errorSchema.optional() }),
  ),
})
type SeenStatus = z.output<typeof statusSchema>
type SeenToken = SeenStatus["tokens"][number]

export const agent: ConfiguredCheck = {
  name: "agent",
  runConfigured: async (context, config) => {
    const answer = await askAgent(context, config)
    if ("check" in answer) return [answer]
    const status = statusSchema.safeParse(json(answer.body))
    if (answer.status !== 200 || !status.success) {
      return [
        report.unknown(
          "agent-unreadable",
          "the agent's answer cannot be understood",
          `GET /status was answered with ${answer.status}.`,
          "The agent is of another version than this command: restart it.",
        ),
      ]
    }
    const findings = statusFindings(context.configFile, status.data)
    if (findings.length > 0) return findings
    return [
      report.ok(`the agent runs, and all its tokens are served`, `Version ${status.data.version}.`),
    ]
  },
}

async function askAgent(context: DoctorContext, config: Config): Promise<HttpAnswer | Finding> {
  const { agentSocket } = runFiles(config)
  try {
    return await context.request({ url: "http://agent/status", socketPath: agentSocket })
  } catch (error) {
    return report.problem(
      "agent-not-running",
      "the agent does not run",
      `${agentSocket}: ${reasonOf(error)}`,
      "systemctl enable --now tlskeep; journalctl -u tlskeep says why where it fails. Web servers go on meanwhile, for 48 h.",
    )
  }
}

function statusFindings(configFile: string, { configFile: its, enclave, tokens }: SeenStatus) {
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

function withoutEnclave({ state, error }: SeenStatus["enclave"]): Finding {
  return report.problem(
    "agent-without-enclave",
    `the agent has no enclave: it is ${state}`,
    said(error),
    error?.advice || "It tries by itself; correct what is said of instance, allocator and image.",
  )
}

function tokenFinding({ label, state, error }: SeenToken): Finding[] {
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

function said(error: z.output<typeof errorSchema> | undefined): string {
  return error === undefined ? "" : `${error.code}: ${error.reason}`
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
