/** Entry point of `make bench`: measures, prints tables, writes `results/latest.json` and `.svg`. */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { CodedError } from "../shared/errors.js"
import { CHECKOUT } from "../sim/testbed/checkout.js"
import { parseOptions } from "./options.js"
import { renderChart } from "./report/chart.js"
import { renderReport } from "./report/table.js"
import { runBenchmark } from "./run.js"

async function main(): Promise<void> {
  const { profile, sections, out } = parseOptions(
    process.argv.slice(2),
    join(CHECKOUT.root, "bench/results"),
  )
  const startedAt = performance.now()
  const say = (line: string) => {
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0).padStart(5)
    process.stdout.write(`${seconds} s  ${line}\n`)
  }
  const report = await runBenchmark(profile, sections, say)
  await mkdir(out, { recursive: true })
  await writeFile(join(out, "latest.json"), `${JSON.stringify(report, null, 2)}\n`)
  await writeFile(join(out, "latest.svg"), renderChart(report))
  process.stdout.write(`\n${renderReport(report)}\n\n${join(out, "latest.json")}\n`)
}

// Not for a reader of figures: the AWS SDK's notice about coming Node versions.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true"

try {
  await main()
} catch (error) {
  const code = error instanceof CodedError ? `${error.code}: ` : ""
  process.stderr.write(`${code}${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
