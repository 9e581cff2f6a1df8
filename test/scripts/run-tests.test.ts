/** scripts/run-tests.mjs over lanes that are stand-ins: what it counts, and when it fails. */
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { run } from "../sim/process.js"

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "run-tests-"))
  await mkdir(join(dir, "scripts"))
  await copyFile(join(CHECKOUT.root, "scripts/run-tests.mjs"), join(dir, "scripts/run-tests.mjs"))
  await command("node_modules/.bin/tsc", "exit 0")
  await command("node_modules/.bin/biome", "exit 0")
  const junit = '<testsuite tests="10" failures="0" skipped="1" disabled="0">'
  await command("bin/ctest", `for last; do :; done; echo '${junit}' >"$last"`)
  await command("node_modules/.bin/vitest", vitest({ passed: 20 }))
})
afterEach(() => rm(dir, { recursive: true }))

async function command(path: string, content: string): Promise<void> {
  await mkdir(dirname(join(dir, path)), { recursive: true })
  await writeFile(join(dir, path), `#!/bin/bash\n${content}\n`)
  await chmod(join(dir, path), 0o755)
}

/** A runner that writes vitest's report. */
function vitest({ passed = 0, failed = 0, skipped = 0 }): string {
  const report = `{"numPassedTests":${passed},"numFailedTests":${failed},"numPendingTests":${skipped},"numTodoTests":0}`
  return [
    "for each; do case $each in --outputFile.json=*) file=$(echo $each | cut -d = -f 2);; esac; done",
    `echo '${report}' >"$file"`,
    `exit ${failed > 0 ? 1 : 0}`,
  ].join("\n")
}

async function counted(env: NodeJS.ProcessEnv = {}) {
  const { code, stdout } = await run(process.execPath, [join(dir, "scripts/run-tests.mjs")], {
    PATH: `${join(dir, "bin")}:${process.env.PATH}`,
    ...env,
  })
  return { code, last: stdout.trim().split("\n").at(-1), stdout }
}

const LANES = { TLSKEEP_TEST_CONTAINER: "1", TLSKEEP_TEST_VM: "1" }

it("adds up what the lanes say, and runs those of images only when asked", async () => {
  const { code, last, stdout } = await counted()
  expect([code, last]).toEqual([0, "31 passed, 0 failed, 1 skipped"])
  expect(stdout).not.toContain("== virtual machine")
  expect(stdout).not.toContain("== container image")
})

it("adds the lanes of images", async () => {
  await command("scripts/container/run-tests.sh", vitest({ passed: 5, skipped: 1 }))
  await command("scripts/container/node-tests.sh", vitest({ passed: 100 }))
  await command("scripts/reproducible-tests.sh", vitest({ passed: 7 }))
  await command("scripts/vm/run-tests.sh", vitest({ passed: 6 }))
  const { code, last } = await counted(LANES)
  expect([code, last]).toEqual([0, "149 passed, 0 failed, 2 skipped"])
})

it("counts a lane whose packages are not to be had as skipped, and says which", async () => {
  await command("scripts/container/run-tests.sh", "echo 'skipped: no Debian mirror'")
  await command("scripts/container/node-tests.sh", "echo 'skipped: no Debian mirror'")
  await command("scripts/reproducible-tests.sh", vitest({ passed: 7 }))
  await command("scripts/vm/run-tests.sh", "echo 'skipped: no Debian mirror'")
  const { code, last, stdout } = await counted(LANES)
  expect([code, last]).toEqual([0, "38 passed, 0 failed, 4 skipped"])
  expect(stdout).toContain("== virtual machine\nskipped: no Debian mirror")
})

it.each([
  ["a failed test", vitest({ passed: 5, failed: 1 }), "36 passed, 1 failed, 1 skipped"],
  ["an end without a report", "exit 1", "31 passed, 1 failed, 1 skipped"],
  ["nothing that ran", vitest({}), "31 passed, 1 failed, 1 skipped"],
  ["a crash after the report", `${vitest({ passed: 5 })}1`, "36 passed, 1 failed, 1 skipped"],
])("fails by %s in a lane of images", async (_what, content, expected) => {
  await command("scripts/vm/run-tests.sh", content)
  const { code, last } = await counted({ TLSKEEP_TEST_VM: "1" })
  expect([code, last]).toEqual([1, expected])
})
