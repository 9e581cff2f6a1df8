/** The virtual machine's lane where its packages are not to be had: it says why, and is no failure. */
import { chmod, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, it } from "vitest"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { run } from "../sim/process.js"
import { testFolder } from "./images.js"

const dir = await testFolder()

/** Runs the preparation with an apt-get of this content first in PATH. */
async function prepare(name: string, aptGet: string) {
  const bin = join(dir, name, "bin")
  await mkdir(bin, { recursive: true })
  await writeFile(join(bin, "apt-get"), `#!/bin/sh\n${aptGet}\n`)
  await chmod(join(bin, "apt-get"), 0o755)
  return run(join(CHECKOUT.root, "scripts/vm/prepare.sh"), [], {
    PATH: `${bin}:${process.env.PATH}`,
    TLSKEEP_VM: join(dir, name, "cache"),
  })
}

const lastLine = (text: string) => text.trim().split("\n").at(-1)

it.each([
  ["no mirror", "exit 0", "this machine's apt has no Debian mirror to take packages from"],
  [
    "an unreachable mirror",
    'case "$*" in *indextargets*) echo "http://localhost:1/debian Debian main Packages";;' +
      " *) echo 'E: cannot reach the mirror' >&2; exit 100;; esac",
    "E: cannot reach the mirror",
  ],
])("says so with %s", async (name, aptGet, reason) => {
  const { code, stdout } = await prepare(name.replaceAll(" ", "-"), aptGet)
  expect(code).toBe(0)
  expect(stdout).toContain("[1/5] ")
  expect(lastLine(stdout)).toBe(`skipped: package lists of the suites that are needed: ${reason}`)
})
