// Runs every check and test of the tree, one lane after the other, and adds up what they say. The
// last line is `N passed, N failed`, with `, N skipped` behind it where something was skipped.
import { spawn } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const reports = await mkdtemp(join(tmpdir(), "tlskeep-reports-"))

/** A lane's command, and how to read its counts; a lane without a report counts as one test. */
const lanes = [
  {
    name: "types",
    command: ["node_modules/.bin/tsc", "-p", ".", "--noEmit"],
  },
  {
    name: "lint, format and import rules",
    command: ["node_modules/.bin/biome", "ci", "--error-on-warnings", "."],
  },
  {
    name: "native tests",
    command: [
      "ctest",
      "--test-dir",
      "build/native",
      ...["-j", String(availableParallelism())],
      "--output-on-failure",
      "--no-tests=error",
    ].concat(["--output-junit", join(reports, "native.xml")]),
    counts: countsOfJunit,
    report: join(reports, "native.xml"),
  },
  {
    name: "TypeScript and end-to-end tests",
    command: ["node_modules/.bin/vitest", "run", "--reporter=default", "--reporter=json"].concat(
      `--outputFile.json=${join(reports, "vitest.json")}`,
      ["--exclude", "test/vm/**", "--exclude", "test/container/**"],
    ),
    counts: countsOfVitest,
    report: join(reports, "vitest.json"),
  },
]
// What these are made of is not to be had everywhere, and their first runs take minutes: they are asked for.
for (const { variable, name, script } of [
  { variable: "TLSKEEP_TEST_CONTAINER", name: "container image", script: "scripts/container" },
  { variable: "TLSKEEP_TEST_VM", name: "virtual machine", script: "scripts/vm" },
]) {
  if (process.env[variable] !== "1") continue
  const report = join(reports, `${variable}.json`)
  lanes.push({
    name,
    command: [`${script}/run-tests.sh`, "--reporter=json", `--outputFile.json=${report}`],
    counts: countsOfVitest,
    report,
    // The lane has said why.
    maySkip: true,
  })
}

const total = { passed: 0, failed: 0, skipped: 0 }
for (const lane of lanes) {
  process.stdout.write(`\n== ${lane.name}\n`)
  const exitCode = await run(lane.command)
  const counts = await countsOf(lane, exitCode)
  for (const key of Object.keys(total)) total[key] += counts[key]
}
await rm(reports, { recursive: true })
process.exitCode = total.failed === 0 ? 0 : 1
const skipped = total.skipped === 0 ? "" : `, ${total.skipped} skipped`
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skipped}\n`)

async function countsOf({ counts, report, maySkip = false }, exitCode) {
  if (counts === undefined)
    return { passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1, skipped: 0 }
  const text = await readFile(report, "utf8").catch(() => "")
  if (maySkip && text === "" && exitCode === 0) return { passed: 0, failed: 0, skipped: 1 }
  const found = text === "" ? { passed: 0, failed: 1, skipped: 0 } : counts(text)
  // A runner that failed without a failed test (a crash, a hook) has failed all the same, and so has
  // one that found nothing to run.
  const ran = found.passed + found.failed > 0
  if ((exitCode !== 0 || !ran) && found.failed === 0) found.failed = 1
  return found
}

function countsOfVitest(text) {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(text)
  return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests }
}

function countsOfJunit(xml) {
  const number = (name) =>
    Number(new RegExp(`<testsuite[^>]*\\s${name}="(\\d+)"`).exec(xml)?.[1] ?? 0)
  const skipped = number("skipped") + number("disabled")
  const failed = number("failures")
  return { passed: number("tests") - failed - skipped, failed, skipped }
}

function run([command, ...args]) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] })
    child.once("error", (error) => {
      process.stdout.write(`${error.message}\n`)
      resolve(1)
    })
    child.once("exit", (code) => resolve(code ?? 1))
  })
}
