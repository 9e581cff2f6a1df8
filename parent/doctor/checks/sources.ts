/** Whether each token's key object can be had: fetched once, as the agent does it, and thrown away. */
import pLimit from "p-limit"
import type { Aws } from "../../aws.js"
import type { Config, TokenConfig } from "../../config/config.js"
import { AgentError, type AgentErrorCode } from "../../errors.js"
import { createSource } from "../../source/create-source.js"
import { type Finding, Reporter } from "../finding.js"
import type { ConfiguredCheck } from "../run.js"

const report = new Reporter("sources")
const PARALLEL = 8
/** For each source, so that a silent one does not take all of the check's time. */
const FETCH_TIMEOUT_MS = 12_000

export const sources: ConfiguredCheck = {
  name: "sources",
  runConfigured: async (context, config) => {
    let aws: Aws
    try {
      aws = await context.agentAws(config)
    } catch (error) {
      return [refusal("no token's key object can be asked for", error)]
    }
    const limit = pLimit(PARALLEL)
    try {
      const found = await Promise.all(config.tokens.map((token) => limit(() => look(aws, token))))
      const findings = found.filter((finding) => finding !== undefined)
      return findings.length > 0 ? findings : [report.ok(allThere(config))]
    } finally {
      aws.s3.destroy()
    }
  },
}

function allThere({ tokens }: Config): string {
  return tokens.length === 1
    ? "the token's key object can be read"
    : `the key objects of all ${tokens.length} tokens can be read`
}

async function look(aws: Aws, { label, source }: TokenConfig): Promise<Finding | undefined> {
  try {
    await createSource(source, aws).fetch(AbortSignal.timeout(FETCH_TIMEOUT_MS))
    return undefined
  } catch (error) {
    return refusal(`token ${label}: its key object cannot be had`, error)
  }
}

type SourceCode = Parameters<typeof report.problem>[0]

const CODES: Readonly<Partial<Record<AgentErrorCode, SourceCode>>> = {
  "s3-object-not-found": "source-not-found",
  "acm-not-associated": "source-not-found",
  "key-file-unreadable": "source-not-found",
  "key-file-entry-missing": "source-not-found",
  "key-file-entry-ambiguous": "source-not-found",
  "s3-access-denied": "source-access-denied",
  "s3-clock-skew": "source-access-denied",
  "s3-wrong-region": "source-elsewhere",
  "acm-wrong-region": "source-elsewhere",
  "s3-unreachable": "source-unreachable",
  "credentials-unavailable": "source-unreachable",
  "fetch-aborted": "source-unreachable",
  "region-unknown": "source-unreachable",
  "role-unknown": "role-arn-unknown",
  "key-object-not-json": "source-malformed",
  "key-object-malformed": "source-malformed",
}

/** The source says itself what is wrong and what to do, the missing permission by its name. */
function refusal(title: string, error: unknown): Finding {
  if (!(error instanceof AgentError)) throw error
  const code = CODES[error.code]
  if (code === undefined) {
    const advice = error.advice || "Try again in a minute."
    return report.unknown("source-failed", title, error.message, advice)
  }
  const advice = error.advice || "Check the token's source, and what is said of credentials above."
  return report.problem(code, title, error.message, advice)
}
