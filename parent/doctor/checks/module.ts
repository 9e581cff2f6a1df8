/** The PKCS #11 module: there, loadable on this host, and showing the tokens. */
import { access } from "node:fs/promises"
import { z } from "zod"
import type { Config } from "../../config/config.js"
import { commandRunner, failure, printed } from "../command.js"
import { type DoctorContext, reasonOf } from "../context.js"
import { type Finding, lastWords, Reporter } from "../finding.js"
import type { ConfiguredCheck } from "../run.js"
import { runFiles } from "../run-files.js"

const report = new Reporter("module")
/** Below the module's own default, so that a check without an enclave ends in time. */
const LIST_DEADLINE_MS = "4000"
const labelsSchema = z.array(z.string())

export const module: ConfiguredCheck = {
  name: "module",
  runConfigured: async (context, config) => {
    const { module_path } = config.options
    try {
      await access(module_path)
    } catch (error) {
      const detail = `${module_path}: ${reasonOf(error)}`
      const advice = "Install it there, or correct options.module_path."
      return [report.problem("module-missing", "the PKCS #11 module is not there", detail, advice)]
    }
    const hasEndpoint = await access(runFiles(config).endpoint).then(
      () => true,
      () => false,
    )
    const loaded = await load(context, config, hasEndpoint)
    if (!("labels" in loaded)) return [loaded]
    return hasEndpoint ? tokenFindings(config, loaded.labels) : [withoutEndpoint(config)]
  },
}

async function load(
  { paths, env }: DoctorContext,
  config: Config,
  withTokens: boolean,
): Promise<{ labels: string[] } | Finding> {
  const run = commandRunner({
    ...env,
    TLSKEEP_ENDPOINT: undefined,
    TLSKEEP_ENDPOINT_FILE: runFiles(config).endpoint,
    TLSKEEP_DEADLINE_MS: LIST_DEADLINE_MS,
    TLSKEEP_LIST_DEADLINE_MS: LIST_DEADLINE_MS,
  })
  const args = [paths.loadModuleWorker, config.options.module_path]
  const outcome = await run(process.execPath, withTokens ? args : [...args, "--no-tokens"])
  const stdout = printed(outcome)
  if (stdout !== undefined) return { labels: labelsSchema.parse(JSON.parse(stdout)) }
  const said = outcome.kind === "exited" ? lastWords(outcome.stderr) : failure(outcome)
  if (/GLIBC(XX)?_[0-9.]+/.test(said)) {
    return report.problem(
      "module-glibc-too-old",
      "the module was built for a newer system than this",
      said,
      "Build it on this distribution, or take the package that was built for it.",
    )
  }
  return report.problem(
    "module-not-loadable",
    "the PKCS #11 module cannot be used",
    said,
    `Look at what ldd ${config.options.module_path} misses, at its architecture, and at the module's log (syslog).`,
  )
}

function tokenFindings({ tokens }: Config, labels: readonly string[]): Finding[] {
  const missing = tokens.filter(({ label }) => !labels.includes(label)).map(({ label }) => label)
  if (missing.length === 0) {
    const all = tokens.length === 1 ? "the token" : `all ${tokens.length} tokens`
    return [report.ok(`the module loads and shows ${all}`)]
  }
  return [
    report.problem(
      "module-without-token",
      "the module does not show every token",
      `Not there: ${missing.join(", ")}. It shows ${labels.length}.`,
      "Look at the agent's findings below: the enclave does not hold the token yet, or cannot be reached.",
    ),
  ]
}

function withoutEndpoint(config: Config): Finding {
  return report.unknown(
    "module-endpoint-missing",
    "the module loads, and does not know the enclave's address yet",
    `${runFiles(config).endpoint} is not there.`,
    "Start the agent: it writes the file when the enclave is up.",
  )
}
