/** AWS's nitro-cli: there, and of which version. */
import { failure, printed } from "../command.js"
import { lastWords, Reporter } from "../finding.js"
import { nitroCliCommand } from "../nitro.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("nitro-cli")

export const nitroCli: HostCheck = {
  name: "nitro-cli",
  run: async (context) => {
    const command = nitroCliCommand(context)
    const outcome = await context.run(command, ["--version"])
    const stdout = printed(outcome)
    if (stdout !== undefined) return [report.ok(lastWords(stdout, 1) || command)]
    if (outcome.kind === "missing") {
      return [
        report.problem(
          "nitro-cli-missing",
          `${command} was not found`,
          "Nothing can start an enclave without it.",
          "Install aws-nitro-enclaves-cli, or name it in enclave.nitro_cli_path.",
        ),
      ]
    }
    const said = outcome.kind === "exited" ? lastWords(outcome.stderr) : ""
    return [
      report.problem(
        "nitro-cli-failed",
        `${command} --version failed`,
        said === "" ? failure(outcome) : said,
        "Run it by hand as root; reinstall aws-nitro-enclaves-cli if it does not answer.",
      ),
    ]
  },
}
