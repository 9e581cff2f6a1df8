/** The first RAM disk's parts: the archive, the same bytes for the same content, and the init in it. */
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { chmod, mkdir, symlink, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it, vi } from "vitest"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { execFileAsync, testFolder } from "./images.js"

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

describe("native/init/init.c", () => {
  it("compiles without a warning into a program that needs no library", async () => {
    const init = join(dir, "init-program")
    const flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    const source = join(CHECKOUT.root, "native/init/init.c")
    await execFileAsync("cc", ["-static", "-Os", "-s", ...flags, "-o", init, source])
    const { stdout } = await execFileAsync("readelf", ["-l", init])
    expect(stdout).toContain("LOAD")
    expect(stdout).not.toContain("INTERP")
  })
})
