/** `make eif`'s script against a stand-in of nitro-cli: what it passes on, and what it refuses. */
import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { beforeAll, describe, expect, it, vi } from "vitest"
import { ROLE_ARN } from "../../sim/paths.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { run } from "../sim/process.js"
import { makeInputs, makeSigningFiles, type SigningFiles, testFolder } from "./images.js"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const dir = await testFolder()
const output = join(dir, "out.eif")
const script = join(CHECKOUT.root, "scripts/build-eif.sh")
let signing: SigningFiles

/**
 * Writes a nitro-cli that keeps its arguments in `arguments` and builds an image of fixed parts by
 * tlskeep, signed as it is asked to unless it `forgets` to, and prints the PCRs after `edit` (sed).
 */
async function standIn({ forgets = false, edit = "" } = {}): Promise<void> {
  const { kernel, ramdisks } = await makeInputs(dir)
  const lines = [
    "#!/usr/bin/env bash",
    `printf '%s\\n' "$@" >'${dir}/arguments'`,
    "args=()",
    "while [ $# -gt 0 ]; do case $1 in --output-file) out=$2; shift;;",
    '  --private-key|--signing-certificate) args+=("$1" "$2"); shift;; esac; shift; done',
    "echo 'Start building the Enclave Image...' >&2",
    forgets ? "args=()" : "",
    `'${process.execPath}' '${CHECKOUT.cli}' eif build --json --kernel '${kernel}' --cmdline x \\`,
    `  --ramdisk ${ramdisks.map((path) => `'${path}'`).join(" ")} --output "$out" "\${args[@]}" | sed '${edit}'`,
  ]
  await writeFile(join(dir, "nitro-cli"), `${lines.join("\n")}\n`)
  await chmod(join(dir, "nitro-cli"), 0o755)
}

const build = (...args: string[]) =>
  run(script, ["example:1", output, ...args], { NITRO_CLI: join(dir, "nitro-cli") })
const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

beforeAll(async () => {
  await mkdir(dir, { recursive: true })
  signing = await makeSigningFiles(dir, "P-384")
})

describe("scripts/build-eif.sh", () => {
  it("builds an unsigned image, prints its PCRs and writes them", async () => {
    await standIn()
    const { code, stdout } = await build()
    expect(code).toBe(0)
    expect((await readFile(join(dir, "arguments"), "utf8")).trim().split("\n")).toEqual([
      ...["build-enclave", "--docker-uri", "example:1", "--output-file", output],
    ])
    const { Measurements } = JSON.parse(await readFile(join(dir, "out.pcrs.json"), "utf8"))
    expect(stdout).toContain(`PCR0     ${Measurements.PCR0}\n`)
    expect(Measurements).not.toHaveProperty("PCR8")
  })

  it("passes the signing options on, and writes PCR8", async () => {
    await standIn()
    const { code } = await build(signing.key, signing.certificate)
    expect(code).toBe(0)
    expect(await readFile(join(dir, "arguments"), "utf8")).toContain(
      `--private-key\n${signing.key}\n--signing-certificate\n${signing.certificate}\n`,
    )
    const { Measurements } = JSON.parse(await readFile(join(dir, "out.pcrs.json"), "utf8"))
    expect(Measurements.PCR8).toMatch(/^[0-9a-f]{96}$/)
  })

  it("passes on a key that is in KMS", async () => {
    const arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    // The stand-in has no KMS; what counts is what it is given, and that an unsigned image is refused.
    await standIn({ forgets: true })
    const { code, stderr } = await build(arn, signing.certificate)
    expect(await readFile(join(dir, "arguments"), "utf8")).toContain(`--private-key\n${arn}\n`)
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("not-signed") })
  })

  it("writes what tlskeep policy reads", async () => {
    await standIn()
    expect((await build(signing.key, signing.certificate)).code).toBe(0)
    const file = join(dir, "out.pcrs.json")
    const { Measurements } = JSON.parse(await readFile(file, "utf8"))
    const policy = [
      "policy",
      "--role-arn",
      ROLE_ARN,
      "--measurements",
      file,
      "--signed",
      "--account-root",
    ]
    const { code, stdout } = await run(process.execPath, [CHECKOUT.cli, ...policy])
    expect(code).toBe(0)
    expect(stdout).toContain(Measurements.PCR0)
    expect(stdout).toContain(Measurements.PCR8)
  })

  it.each([
    ["an unsigned image where a signed one was asked for", { forgets: true }, "not-signed"],
    ["measurements that are not nitro-cli's", { edit: 's/PCR2": "./PCR2": "x/' }, "differently"],
  ])("refuses %s", async (_what, behaviour, reason) => {
    await rm(`${output}.refused`, { force: true })
    await standIn(behaviour)
    const { code, stderr } = await build(signing.key, signing.certificate)
    expect(code).toBe(1)
    expect(stderr).toContain(reason)
    expect(await exists(output)).toBe(false)
    expect(await exists(join(dir, "out.pcrs.json"))).toBe(false)
    expect(await exists(`${output}.refused`)).toBe(true)
  })

  it("refuses an unreadable key before it builds anything, and a failing nitro-cli", async () => {
    await standIn()
    await rm(join(dir, "arguments"))
    const unreadable = await build(join(dir, "absent"), signing.certificate)
    expect(unreadable).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot read") })
    expect(await exists(join(dir, "arguments"))).toBe(false)
    await writeFile(join(dir, "nitro-cli"), "#!/bin/sh\nexit 33\n")
    expect((await build()).code).not.toBe(0)
  })
})
