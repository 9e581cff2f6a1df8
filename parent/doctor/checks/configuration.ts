/** The configuration file: readable, right, and free of surprises. */
import { type Finding, Reporter } from "../finding.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("configuration")

export const configuration: HostCheck = {
  name: "configuration",
  run: async ({ configFile, configuration }) => {
    if ("config" in configuration) {
      const { tokens, notices, options } = configuration.config
      const what = `${tokens.length} token${tokens.length === 1 ? "" : "s"} for ${options.service}`
      return [
        report.ok(`${configFile}: ${what}`),
        ...notices.map(({ where, text }) =>
          report.warning("config-notice", where, text, "Change the line, or leave it knowingly."),
        ),
      ]
    }
    const { code, message, advice } = configuration.error
    return [refusal(code, message, advice)]
  },
}

function refusal(code: string, message: string, advice: string): Finding {
  switch (code) {
    case "config-unreadable":
    case "config-not-yaml":
      return report.problem(code, "the configuration cannot be read", message, advice)
    default:
      return report.problem("config-invalid", "the configuration is not right", message, advice)
  }
}
