/** `tlskeep doctor`: looks at everything that has to be right, and says what to do where it is not. */
import { isCodedError } from "../../shared/errors.js"
import { VERSION } from "../../shared/version.js"
import { loadConfig } from "../config/load.js"
import { CHECKS } from "../doctor/checks.js"
import { type DoctorContext, hostContext } from "../doctor/context.js"
import type { Finding } from "../doctor/finding.js"
import { renderFindings } from "../doctor/render.js"
import { countLevels, runChecks } from "../doctor/run.js"
import { AgentError } from "../errors.js"

export interface DoctorOptions {
  config: string
  json: boolean
}

/** What the terminal is: asked where the output goes, not where it is made. */
export interface Terminal {
  width: number
  colour: boolean
}

export interface DoctorResult {
  output: string
  /** 0: no problem. 1: at least one. Warnings and what could not be told do not count. */
  exitCode: 0 | 1
}

/**
 * Runs every check. A configuration that cannot be read is a finding, too.
 *
 * @throws what nobody foresaw: the caller exits with 2
 */
export async function doctorCommand(
  options: DoctorOptions,
  terminal: Terminal,
): Promise<DoctorResult> {
  const configuration = await readConfiguration(options.config)
  const findings = await runChecks(
    CHECKS,
    hostContext({ configFile: options.config, configuration }),
  )
  return {
    output: options.json ? asJson(findings, options.config) : renderFindings(findings, terminal),
    exitCode: exitCodeOf(findings),
  }
}

/** Scripts are stopped by problems alone: what could not be told may be told elsewhere. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 {
  return countLevels(findings).problem > 0 ? 1 : 0
}

async function readConfiguration(file: string): Promise<DoctorContext["configuration"]> {
  try {
    return { config: await loadConfig(file) }
  } catch (error) {
    if (isCodedError(error) && error instanceof AgentError) return { error }
    throw error
  }
}

function asJson(findings: readonly Finding[], configFile: string): string {
  const document = { version: VERSION, configFile, counts: countLevels(findings), findings }
  return `${JSON.stringify(document, null, 2)}\n`
}
