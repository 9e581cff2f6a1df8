// Runs every check and test of the tree and adds up what they say. The last line is
// `N passed, N failed`, with `, N skipped` behind it where something was skipped.
import { spawn } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const reports = await mkdtemp(join(tmpdir(), "tlskeep-reports-"))

/**
 * A lane's command, and how to read its counts; a lane without a report counts as one test. These run one
 * after the other beside the long one below: the native tests wait more than they compute.
 */
const checks = [
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
    // Their deadlines are for a machine with nothing else to do.
    env: { TLSKEEP_TEST_SLOWNESS: "3" },
    counts: countsOfJunit,
    report: join(reports, "native.xml"),
  },
]
const longest = {
  name: "TypeScript and end-to-end tests",
  command: ["node_modules/.bin/vitest", "run", "--reporter=default", "--reporter=json"].concat(
    `--outputFile.json=${join(reports, "vitest.json")}`,
    ["vm", "container", "reproducible"].flatMap((name) => ["--exclude", `test/${name}/**`]),
  ),
  counts: countsOfVitest,
  report: join(reports, "vitest.json"),
}
const afterwards = []
// They build for minutes, and what some are made of is not to be had everywhere: they are asked for.
const CONTAINER = "TLSKEEP_TEST_CONTAINER"
for (const [index, { variable, name, script }] of [
  { variable: CONTAINER, name: "container image", script: "scripts/container/run-tests.sh" },
  {
    variable: CONTAINER,
    name: "what is in the image, by its Node.js",
    script: "scripts/container/node-tests.sh",
  },
  {
    variable: CONTAINER,
    name: "reproducible builds",
    script: "scripts/reproducible-tests.sh",
  },
  { variable: "TLSKEEP_TEST_VM", name: "virtual machine", script: "scripts/vm/run-tests.sh" },
].entries()) {
  if (process.env[variable] !== "1") continue
  const report = join(reports, `image-${index}.json`)
  afterwards.push({
    name,
    command: [script, "--reporter=json", `--outputFile.json=${report}`],
    counts: countsOfVitest,
    report,
    // The lane has said why.
    maySkip: true,
  })
}

const total = { passed: 0, failed: 0, skipped: 0 }
await Promise.all([runLane(longest), runInTurn(checks, { heldBack: true })])
await runInTurn(afterwards)
await rm(reports, { recursive: true })
process.exitCode = total.failed === 0 ? 0 : 1
const skipped = total.skipped === 0 ? "" : `, ${total.skipped} skipped`
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skipped}\n`)

async function runInTurn(lanes, options) {
  for (const lane of lanes) await runLane(lane, options)
}

/** @param heldBack - what it prints comes in one piece when it has ended */
async function runLane(lane, { heldBack = false } = {}) {
  const title = `\n== ${lane.name}\n`
  if (!heldBack) process.stdout.write(title)
  const { exitCode, output } = await run(lane, heldBack)
  process.stdout.write(heldBack ? `${title}${output}` : output)
  const counts = await countsOf(lane, exitCode)
  for (const key of Object.keys(total)) total[key] += counts[key]
}

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

function run({ command: [command, ...args], env = {} }, heldBack) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: heldBack ? ["ignore", "pipe", "pipe"] : ["ignore", "inherit", "inherit"],
    })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text) => {
        output += text
      })
    }
    child.once("error", (error) => resolve({ exitCode: 1, output: `${output}${error.message}\n` }))
    child.once("close", (code) => resolve({ exitCode: code ?? 1, output }))
  })
}
