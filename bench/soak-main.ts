/** Entry point of `make soak`: serves under load for so many minutes; exits with 1 if that harmed anything. */
import { CodedError } from "../shared/errors.js"
import { renderTable } from "./report/table.js"
import { type SoakReport, soak } from "./soak/soak.js"

async function main(): Promise<boolean> {
  const minutes = Number(process.argv[2] ?? "30")
  if (!(minutes > 0)) throw new CodedError("bad-option", "SOAK_MINUTES is a number of minutes")
  const say = (line: string) => process.stdout.write(`${new Date().toISOString()}  ${line}\n`)
  const report = await soak(minutes, say)
  process.stdout.write(`\n${render(report)}\n`)
  const failed = Object.keys(report.failures).length > 0
  return !failed && report.flatness.every(({ flat }) => flat !== false)
}

function render({ minutes, renewals, handshakes, failures, flatness }: SoakReport): string {
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0)
  const reasons = Object.entries(failures).map(([reason, count]) => `  ${count} × ${reason}`)
  const rows = flatness.map(({ what, early, late, largest, flat }) => [
    ...[what, early, late, largest].map(String),
    flat === null ? "too short to tell" : flat ? "flat" : "GROWS",
  ])
  return [
    `${minutes} min, ${renewals} renewals, ${handshakes} handshakes, ${failed} failed`,
    ...reasons,
    "",
    renderTable(["what", "second quarter", "last quarter", "largest", ""], rows),
  ].join("\n")
}

// Not for a reader of figures: the AWS SDK's notice about coming Node versions.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true"

try {
  if (!(await main())) process.exitCode = 1
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
