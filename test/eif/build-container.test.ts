/** `make image`'s script: bases it takes, what it passes on to a stand-in of the tool, and which tool. */
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { beforeEach, describe, expect, it } from "vitest"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { run } from "../sim/process.js"
import { testFolder } from "./images.js"

const dir = await testFolder()
const bin = join(dir, "bin")
const script = join(CHECKOUT.root, "scripts/build-container.sh")
const DIGEST = `node:24-bookworm@sha256:${"0f".repeat(32)}`

/** A tool that keeps the arguments of its `build` and whose `version` and `--version` end with `code`. */
async function standIn(name: string, code = 0): Promise<void> {
  const content = `#!/bin/sh\ncase $1 in *version) exit ${code};; esac\nprintf '%s\\n' "$@" >'${dir}/${name}'\n`
  await writeFile(join(bin, name), content)
  await chmod(join(bin, name), 0o755)
}

const build = (env: NodeJS.ProcessEnv, ...args: string[]) =>
  run(script, args, { PATH: `${bin}:/usr/bin:/bin`, ...env })
const argumentsOf = async (name: string) => (await readFile(join(dir, name), "utf8")).split("\n")

beforeEach(async () => {
  await mkdir(bin, { recursive: true })
  for (const name of ["docker", "buildah"]) {
    await standIn(name)
    await rm(join(dir, name), { force: true })
  }
})

describe("scripts/build-container.sh", () => {
  it.each([
    undefined,
    "node:24-bookworm",
    "node:24-bookworm@sha256:0f0f",
    `node:24-bookworm@sha256:${"0F".repeat(32)}`,
    `node:24-bookworm@sha256:${"0f".repeat(33)}`,
    `@sha256:${"0f".repeat(32)}`,
    `--help@sha256:${"0f".repeat(32)}`,
    `node:24 --x@sha256:${"0f".repeat(32)}`,
  ])("refuses the base %s, which anybody may change", async (base) => {
    const { code, stderr } = await build(base === undefined ? {} : { NODE_IMAGE: base })
    expect(code).toBe(2)
    expect(stderr).toContain("NODE_IMAGE has to name a Debian 12 with Node.js 24 by digest")
    await expect(argumentsOf("docker")).rejects.toMatchObject({ code: "ENOENT" })
  })

  it.each([
    DIGEST,
    `node@sha256:${"0f".repeat(32)}`,
    `registry.example:5000/a/node@sha256:${"0f".repeat(32)}`,
    "localhost/node:24",
  ])("builds on %s", async (base) => {
    const { code, stdout } = await build({ NODE_IMAGE: base }, "example:1")
    expect([code, stdout]).toEqual([0, "image: example:1\n"])
    const passed = await argumentsOf("docker")
    expect(passed).toContain(`NODE_IMAGE=${base}`)
    expect(passed).toContain("IMAGE=enclave")
    expect(passed).toContain("example:1")
  })

  it("packs the program that IMAGE names, and no other than there are", async () => {
    expect((await build({ NODE_IMAGE: DIGEST, IMAGE: "enclave-general" })).code).toBe(0)
    expect(await argumentsOf("docker")).toContain("IMAGE=enclave-general")
    const { code, stderr } = await build({ NODE_IMAGE: DIGEST, IMAGE: "enclave-vm" })
    expect([code, stderr]).toEqual([2, expect.stringContaining("not enclave-vm")])
  })

  it("takes buildah where docker's engine does not answer, or where it is told to", async () => {
    await standIn("docker", 1)
    expect((await build({ NODE_IMAGE: DIGEST })).code).toBe(0)
    expect(await argumentsOf("buildah")).toEqual(expect.arrayContaining(["--timestamp", "0"]))
    await standIn("docker")
    await rm(join(dir, "buildah"))
    const told = {
      NODE_IMAGE: DIGEST,
      CONTAINER_TOOL: "buildah",
      CONTAINER_FLAGS: "--network host",
    }
    expect((await build(told)).code).toBe(0)
    expect(await argumentsOf("buildah")).toEqual(expect.arrayContaining(["--network", "host"]))
    await expect(argumentsOf("docker")).rejects.toMatchObject({ code: "ENOENT" })
  })

  it("says so where there is neither, and fails where the tool does", async () => {
    await standIn("docker", 1)
    await standIn("buildah", 1)
    const { code, stderr } = await build({ NODE_IMAGE: DIGEST })
    expect([code, stderr]).toEqual([2, expect.stringContaining("neither")])
    await writeFile(join(bin, "buildah"), "#!/bin/sh\nexit 125\n")
    expect((await build({ NODE_IMAGE: DIGEST, CONTAINER_TOOL: "buildah" })).code).toBe(125)
  })
})
