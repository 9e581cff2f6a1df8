/** The lanes of images where their packages are not to be had: they say why, and that is no failure. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { type Outcome, run } from "../sim/process.js"

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "prepare-"))
})
afterAll(() => rm(dir, { recursive: true }))

/** An apt-get of this content. */
const NO_MIRROR = "exit 0"
const UNREACHABLE =
  'case "$*" in *indextargets*) echo "http://localhost:1/debian Debian main Packages";;' +
  " *) echo 'E: cannot reach the mirror' >&2; exit 100;; esac"

/** Runs a lane's script with such an apt-get first in PATH, and a cache of its own. */
async function prepare(script: string, aptGet: string): Promise<Outcome> {
  const place = await mkdtemp(join(dir, "run-"))
  const bin = join(place, "bin")
  await mkdir(bin)
  await writeFile(join(bin, "apt-get"), `#!/bin/sh\n${aptGet}\n`)
  await chmod(join(bin, "apt-get"), 0o755)
  return run(join(CHECKOUT.root, "scripts", script), [], {
    PATH: `${bin}:${process.env.PATH}`,
    HOME: place,
    TLSKEEP_VM: join(place, "cache"),
    TLSKEEP_CONTAINERS: join(place, "cache"),
  })
}

const lastLine = ({ stdout }: Outcome) => stdout.trim().split("\n").at(-1)

describe.each([
  ["vm/prepare.sh", "package lists of the suites that are needed"],
  ["vm/run-tests.sh", "package lists of the suites that are needed"],
  ["container/prepare.sh", "package lists"],
  ["container/run-tests.sh", "package lists"],
  ["container/node-tests.sh", "package lists"],
])("scripts/%s", (script, step) => {
  it.each([
    ["no mirror", NO_MIRROR, "this machine's apt has no Debian mirror to take packages from"],
    ["an unreachable mirror", UNREACHABLE, "E: cannot reach the mirror"],
  ])("says so with %s", async (_what, aptGet, reason) => {
    const outcome = await prepare(script, aptGet)
    expect(outcome.code).toBe(0)
    expect(outcome.stdout).toMatch(/^\[1\/\d\] /)
    expect(lastLine(outcome)).toBe(`skipped: ${step}: ${reason}`)
  })
})
