/**
 * An enclave's root file system from sources alone, built twice in folders of other names: the same
 * bundle, RAM disk and PCRs, and nothing in it but what runs.
 */
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { mkdir, readdir, readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { beforeAll, describe, expect, it, vi } from "vitest"
import { AMAZON_ROOTS } from "../../enclave/kms/amazon-roots.js"
import { buildEif } from "../../parent/eif/build.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { buildEnclaveRoot } from "../clean-checkout.js"
import { execFileAsync, makeInputs, testFolder } from "../eif/images.js"
import { run } from "../sim/process.js"

vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 })

const dir = await testFolder()
const script = (name: string) => join(CHECKOUT.root, "scripts", name)

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256")
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest("hex")
}

/** Paths of a folder's files from there. */
async function filesOf(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    .sort()
}

describe("the enclave's root file system", () => {
  const LIMIT_BYTES = 150_000_000
  const FOLDERS = ["first", "the-second-one/of/a-longer-path"]
  let roots: string[]
  beforeAll(async () => {
    roots = []
    for (const name of FOLDERS) roots.push(await buildEnclaveRoot(join(dir, name)))
  })
  const [first, second] = [() => roots[0] ?? "", () => roots[1] ?? ""]

  it("is the same from any folder, and so are RAM disk, image and PCRs", async () => {
    for (const file of await filesOf(first())) {
      expect([file, await digest(second() + file)]).toEqual([file, await digest(first() + file)])
    }
    const inputs = await makeInputs(dir)
    const images = []
    for (const root of roots) {
      const ramdisk = `${root}.cpio`
      await execFileAsync(process.execPath, [script("make-cpio.mjs"), root, ramdisk])
      const ramdisks = [...inputs.ramdisks.slice(0, 1), ramdisk]
      const measurements = await buildEif({ ...inputs, ramdisks }, `${root}.eif`)
      images.push({ measurements, image: await digest(`${root}.eif`) })
    }
    expect(images[1]).toEqual(images[0])
  })

  it("has times and rights that depend on nobody", async () => {
    for (const root of roots) {
      for (const file of ["", ...(await filesOf(root))]) {
        const { mtimeMs, mode } = await stat(root + file)
        expect([file, mtimeMs]).toEqual([file, 0])
        expect([0o644, 0o755]).toContain(mode & 0o7777)
      }
    }
  })

  it("holds Node.js, its libraries, the program and its addon, and nothing else", async () => {
    const files = await filesOf(first())
    const libraries = files.filter((path) => /^\/(usr\/)?lib(64)?\//.test(path))
    expect(files.filter((path) => !libraries.includes(path))).toEqual([
      "/opt/tlskeep/enclave.mjs",
      "/opt/tlskeep/tlskeep_addon.node",
      "/usr/bin/node",
    ])
    expect(libraries.map((path) => path.replace(/.*\//, "")).sort()).toEqual([
      ...["ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6"],
      ...["libpthread.so.0", "libstdc++.so.6"],
    ])
    const sizes = await Promise.all(files.map(async (path) => (await stat(first() + path)).size))
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(LIMIT_BYTES)
    const program = await readFile(join(first(), "opt/tlskeep/enclave.mjs"), "utf8")
    expect(program.length).toBeGreaterThan(500_000)
  })

  it("trusts Amazon's roots alone: there is no other certificate in the program", async () => {
    const program = await readFile(join(first(), "opt/tlskeep/enclave.mjs"), "utf8")
    expect(program.match(/-----BEGIN CERTIFICATE-----\nMII/g)).toHaveLength(AMAZON_ROOTS.length)
  })

  it("runs by its own libraries alone", async () => {
    const { stdout } = await execFileAsync(
      "/usr/sbin/chroot",
      [first(), "/usr/bin/node", "--version"],
      {
        env: { HOME: "/" },
      },
    )
    expect(stdout.trim()).toBe(process.version)
  })

  it("is refused when it is larger than its limit", async () => {
    const image = join(dir, "large-image")
    await mkdir(image)
    await execFileAsync("truncate", ["-s", String(LIMIT_BYTES), join(image, "ballast")])
    const { code, stderr } = await run(process.execPath, [
      ...[script("enclave-root.mjs"), image, join(dir, "large-root")],
    ])
    expect(code).toBe(1)
    expect(stderr).toContain(`over its limit of ${LIMIT_BYTES}`)
  })
})
