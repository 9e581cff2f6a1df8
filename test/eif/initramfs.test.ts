/** RAM disks and what is in them: the same bytes for the same sources, and nothing but what runs. */
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { chmod, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it, vi } from "vitest"
import { buildEif } from "../../parent/eif/build.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { execFileAsync, makeInputs, testFolder } from "./images.js"

vi.setConfig({ testTimeout: 120_000 })

const dir = await testFolder()
const script = (name: string) => join(CHECKOUT.root, "scripts", name)
const node = (name: string, ...args: string[]) =>
  execFileAsync(process.execPath, [script(name), ...args], { cwd: CHECKOUT.root })

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256")
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest("hex")
}

describe("scripts/make-cpio.mjs", () => {
  const FILES: [string, string, number][] = [
    ["z", "last", 0o600],
    ["init", "#!/bin/sh\n", 0o700],
    ["a/b/c", "x".repeat(1_001), 0o644],
    ["a/empty", "", 0o664],
    ["a-b", "sorts before a/, which is below a", 0o644],
    ["é", "not ASCII", 0o644],
  ]

  async function folder(name: string, order: typeof FILES, time: number): Promise<string> {
    const root = join(dir, name)
    await mkdir(join(root, "a/b"), { recursive: true })
    for (const [path, content, mode] of order) {
      await writeFile(join(root, path), content)
      await chmod(join(root, path), mode)
      await utimes(join(root, path), time, time)
    }
    await symlink("init", join(root, "link"))
    return root
  }

  it("depends on names, contents, links and executability alone", async () => {
    const first = await folder("first", FILES, 1_000_000_000)
    const second = await folder("second", [...FILES].reverse(), 1_700_000_000)
    await chmod(join(second, "z"), 0o644)
    const outputs = [join(dir, "first.cpio"), join(dir, "second.cpio")] as const
    await node("make-cpio.mjs", first, outputs[0])
    await node("make-cpio.mjs", second, outputs[1])
    expect(await digest(outputs[1])).toBe(await digest(outputs[0]))
  })

  it("writes what the format's description says", async () => {
    const run = execFileAsync("python3", [join(import.meta.dirname, "newc.py")])
    createReadStream(join(dir, "first.cpio")).pipe(run.child.stdin ?? process.stdout)
    const entries = JSON.parse((await run).stdout) as unknown[][]
    const sha = (text: string) => createHash("sha256").update(text).digest("hex")
    const file = (name: string, content: string, mode = "0o100644") => [
      ...[name, mode, 0, 0, 1, 0, Buffer.byteLength(content), [0, 0, 0, 0, 0], sha(content)],
    ]
    const directory = (name: string) => file(name, "", "0o40755")
    expect(entries).toEqual([
      directory("a"),
      directory("a/b"),
      file("a/b/c", "x".repeat(1_001)),
      file("a/empty", ""),
      file("a-b", "sorts before a/, which is below a"),
      file("init", "#!/bin/sh\n", "0o100755"),
      file("link", "init", "0o120777"),
      file("z", "last"),
      file("é", "not ASCII"),
    ])
  })
})

describe("the enclave's root file system", () => {
  const LIMIT_BYTES = 150_000_000

  /** Bundles, lays out and packs; everything is made anew. */
  async function build(name: string): Promise<{ root: string; ramdisk: string }> {
    const root = join(dir, name)
    await node("bundle-image.mjs", "enclave")
    await node("enclave-root.mjs", join(CHECKOUT.root, "build/enclave"), root)
    await node("make-cpio.mjs", root, `${root}.cpio`)
    return { root, ramdisk: `${root}.cpio` }
  }

  it("is the same, and so are the PCRs, whenever it is built", async () => {
    const inputs = await makeInputs(dir)
    const images = []
    for (const name of ["root-1", "root-2"]) {
      const { ramdisk } = await build(name)
      const output = join(dir, `${name}.eif`)
      const ramdisks = [...inputs.ramdisks.slice(0, 1), ramdisk]
      images.push([await buildEif({ ...inputs, ramdisks }, output), await digest(output)])
    }
    expect(images[1]).toEqual(images[0])
  })

  it("holds Node.js, its libraries, the program and its addon, and nothing else", async () => {
    const root = join(dir, "root-1")
    const entries = await readdir(root, { recursive: true, withFileTypes: true })
    const files = entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    const libraries = files.filter((path) => /^\/(usr\/)?lib(64)?\//.test(path))
    expect(files.filter((path) => !libraries.includes(path)).sort()).toEqual([
      "/opt/tlskeep/enclave.mjs",
      "/opt/tlskeep/tlskeep_addon.node",
      "/usr/bin/node",
    ])
    expect(libraries.map((path) => path.replace(/.*\//, "")).sort()).toEqual(
      [
        ...["ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6"],
        ...["libpthread.so.0", "libstdc++.so.6"],
      ].sort(),
    )
    const sizes = await Promise.all(files.map(async (path) => (await stat(root + path)).size))
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(LIMIT_BYTES)
    expect((await readFile(join(root, "opt/tlskeep/enclave.mjs"), "utf8")).length).toBeGreaterThan(
      1_000_000,
    )
  })

  it("runs by its own libraries alone", async () => {
    const node = "/usr/bin/node"
    const { stdout } = await execFileAsync(
      "/usr/sbin/chroot",
      [join(dir, "root-1"), node, "--version"],
      {
        env: { HOME: "/" },
      },
    )
    expect(stdout.trim()).toBe(process.version)
  })
})
