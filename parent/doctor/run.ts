/** Runs the checks side by side; each ends in findings, whatever becomes of it. */
import pLimit from "p-limit"
import type { Config } from "../config/config.js"
import { type DoctorContext, reasonOf } from "./context.js"
import { type CheckName, type Finding, type Level, Reporter } from "./finding.js"

export interface HostCheck {
  name: CheckName
  /** @returns at least one finding */
  run(context: DoctorContext): Promise<Finding[]>
}

/** A check that has nothing to look at without a configuration. */
export interface ConfiguredCheck {
  name: CheckName
  /** False where the configuration does not ask for it: it is left out. */
  applies?(config: Config): boolean
  runConfigured(context: DoctorContext, config: Config): Promise<Finding[]>
}

export type Check = HostCheck | ConfiguredCheck

/** Longer than any one edge takes. */
const CHECK_TIMEOUT_MS = 30_000
const PARALLEL_CHECKS = 6

/** The findings of all checks, in the order of the checks. Never rejects. */
export async function runChecks(
  checks: readonly Check[],
  context: DoctorContext,
  timeoutMs: number = CHECK_TIMEOUT_MS,
): Promise<Finding[]> {
  const limit = pLimit(PARALLEL_CHECKS)
  const found = await Promise.all(
    checks.map((check) => limit(() => runCheck(check, context, timeoutMs))),
  )
  return found.flat()
}

async function runCheck(
  check: Check,
  context: DoctorContext,
  timeoutMs: number,
): Promise<Finding[]> {
  const report = new Reporter(check.name)
  let timer: NodeJS.Timeout | undefined
  const timedOut = new Promise<Finding[]>((resolve) => {
    timer = setTimeout(() => {
      const title = `no answer in ${timeoutMs / 1_000} s`
      const advice = "Try again when the machine is less busy; look at what hangs by hand."
      resolve([report.unknown("check-timed-out", title, "", advice)])
    }, timeoutMs)
  })
  try {
    return await Promise.race([start(check, context), timedOut])
  } catch (error) {
    const title = "the check itself failed"
    const advice = "Report it with this line; the other checks stand."
    return [report.unknown("check-failed", title, reasonOf(error), advice)]
  } finally {
    clearTimeout(timer)
  }
}

async function start(check: Check, context: DoctorContext): Promise<Finding[]> {
  if ("run" in check) return check.run(context)
  if ("error" in context.configuration) {
    const title = "not looked at: there is no configuration to go by"
    const advice = "Correct the configuration first."
    return [new Reporter(check.name).unknown("not-checked", title, "", advice)]
  }
  const { config } = context.configuration
  return check.applies?.(config) === false ? [] : check.runConfigured(context, config)
}

/** How many findings there are of each level. */
export function countLevels(findings: readonly Finding[]): Record<Level, number> {
  const counts: Record<Level, number> = { ok: 0, warning: 0, problem: 0, unknown: 0 }
  for (const { level } of findings) counts[level]++
  return counts
}
