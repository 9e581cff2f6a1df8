/** Node.js is started alike in the container image, in the virtual machine's image and by the simulator. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { execa } from "execa"
import { expect, it } from "vitest"
import { RUNTIME_ENVIRONMENT, RUNTIME_FLAGS } from "../../enclave/runtime.js"

const MEMORY = Object.entries(RUNTIME_ENVIRONMENT).map(([name, value]) => `${name}=${value}`)
const COMMAND = ["/usr/bin/node", ...RUNTIME_FLAGS, "/opt/tlskeep/enclave.mjs"]

function read(path: string): string {
  return readFileSync(join(import.meta.dirname, "../..", path), "utf8")
}

it("Dockerfile.enclave says the same", () => {
  const dockerfile = read("Dockerfile.enclave")
  const command = /^CMD (\[.*\])$/m.exec(dockerfile)?.[1]
  expect(JSON.parse(command ?? "null")).toEqual(COMMAND)
  const environment = [...dockerfile.matchAll(/^ENV (.*)$/gm)].flatMap(([, line = ""]) =>
    line.split(" "),
  )
  expect(environment).toEqual(expect.arrayContaining(MEMORY))
})

it("so does the virtual machine's image", () => {
  const script = read("scripts/vm/make-image.sh")
  expect(script).toContain(`printf '%s\\n' ${COMMAND.join(" ")} >"$work/boot/cmd"`)
  expect(script).toContain(
    `printf '%s\\n' NODE_ENV=production ${MEMORY.join(" ")} >"$work/boot/env"`,
  )
})

it("Node.js and glibc take it", async () => {
  const script = "process.stdout.write(JSON.stringify(process.execArgv))"
  const { stdout, stderr } = await execa(process.execPath, [...RUNTIME_FLAGS, "-e", script], {
    env: RUNTIME_ENVIRONMENT,
  })
  expect(JSON.parse(stdout)).toEqual([...RUNTIME_FLAGS, "-e", script])
  expect(stderr).toBe("")
})
