/**
 * Dockerfile.enclave, built by buildah on a base of debootstrap's with Node.js 24: what the image holds, that it
 * runs, and that it is the same whenever and wherever it is built. `make test-container` runs this.
 */
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { execa } from "execa"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { RUNTIME_ENVIRONMENT, RUNTIME_FLAGS } from "../../enclave/runtime.js"
import { buildEnclaveRoot } from "../clean-checkout.js"
import { type BuiltImage, buildImage, CACHE, removeImage, unpack } from "./buildah.js"

vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 })

const NAME = `the container image${CACHE === "" ? " (TLSKEEP_CONTAINERS is not set: run make test-container)" : ""}`
/** What the target of the image is, in bytes. */
const LIMIT_BYTES = 150_000_000
const LIBRARIES = [
  ...["ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6"],
  ...["libpthread.so.0", "libstdc++.so.6"],
]
/** Packages of Debian whose content gets into the image, or makes what does. */
const ORIGINS = ["g++-12", "libstdc++-12-dev", "libssl-dev", "binutils", "libc6", "libgcc-s1"]

/** SHA-256 of every file below a folder, by its path there. */
async function digests(root: string): Promise<Record<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => !entry.isDirectory())
  const found = files.map(async ({ parentPath, name }) => {
    const path = join(parentPath, name)
    const hash = createHash("sha256")
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
    return [path.slice(root.length), hash.digest("hex")] as const
  })
  return Object.fromEntries((await Promise.all(found)).sort())
}

describe.skipIf(CACHE === "")(NAME, () => {
  let image: BuiltImage
  let content: Awaited<ReturnType<typeof unpack>>
  const cleanups: (() => Promise<void>)[] = []
  beforeAll(async () => {
    image = await buildImage()
    cleanups.push(() => removeImage(image))
    content = await unpack(image)
    cleanups.push(() => content.remove())
  })
  afterAll(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup()
  })
  /** Runs a program of the image by nothing but what is in the image. */
  const inside = (...command: string[]) =>
    execa("/usr/sbin/chroot", [content.root, ...command], {
      env: { HOME: "/" },
      extendEnv: false,
      reject: false,
    })

  it("holds Node.js, its libraries, the program and its addon, and nothing else", async () => {
    const files = Object.keys(await digests(content.root))
    const libraries = files.filter((path) => /^\/(usr\/)?lib(64)?\//.test(path))
    expect(libraries.map((path) => path.replace(/.*\//, "")).sort()).toEqual(LIBRARIES)
    expect(files.filter((path) => !libraries.includes(path))).toEqual([
      "/opt/tlskeep/enclave.mjs",
      "/opt/tlskeep/tlskeep_addon.node",
      "/usr/bin/node",
    ])
    expect(image.command).toEqual(["/usr/bin/node", ...RUNTIME_FLAGS, "/opt/tlskeep/enclave.mjs"])
    const memory = Object.entries(RUNTIME_ENVIRONMENT).map(([name, value]) => `${name}=${value}`)
    expect(image.environment).toEqual(
      expect.arrayContaining(["NODE_ENV=production", "HOME=/", ...memory]),
    )
  })

  it("is smaller than 150 MB unpacked", async () => {
    const { stdout } = await execa("du", ["-sb", content.root])
    const bytes = Number.parseInt(stdout, 10)
    expect(bytes).toBeGreaterThan(50_000_000)
    expect(bytes).toBeLessThan(LIMIT_BYTES)
    expect(image.log).toMatch(/10 files, \d+ bytes of 150000000/)
  })

  it("runs Node.js 24, which loads the addon", async () => {
    const load = 'Object.keys(require("/opt/tlskeep/tlskeep_addon.node")).length > 0'
    const { stdout } = await inside("/usr/bin/node", "-p", `process.version + " " + (${load})`)
    expect(stdout).toMatch(/^v24\.\d+\.\d+ true$/)
  })

  it("refuses to serve where the kernel's random numbers are not the NSM's", async () => {
    const { exitCode, stdout } = await inside("/usr/bin/node", "/opt/tlskeep/enclave.mjs")
    expect(exitCode).toBe(1)
    const lines = stdout.split("\n").map((line) => JSON.parse(line))
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({
      msg: "the enclave cannot start",
      err: { code: "entropy-source" },
    })
  })

  it("has the same layers when it is built again", async () => {
    const again = await buildImage()
    cleanups.push(() => removeImage(again))
    expect(again.layers).toHaveLength(1)
    expect(again.layers).toEqual(image.layers)
  })

  it("has the same files as one built outside of a container", async (context) => {
    const dir = await mkdtemp(join(tmpdir(), "container-"))
    cleanups.push(() => rm(dir, { recursive: true }))
    const differing = await differingPackages(image)
    context.skip(differing.length > 0, `of another version on this machine: ${differing}`)
    const root = await buildEnclaveRoot(join(dir, "checkout"), join(CACHE, "node/node"))
    expect(await digests(root)).toEqual(await digests(content.root))
  })
})

/** Those of the image's origins that this machine has in another version than the build stage. */
async function differingPackages({ log }: BuiltImage): Promise<string[]> {
  const [ours, base] = await Promise.all([
    execa("dpkg-query", ["-W"]),
    execa("dpkg-query", ["-W", `--admindir=${join(CACHE, "debian/var/lib/dpkg")}`]),
  ])
  const versions = ({ stdout }: { stdout: string }) =>
    new Map(
      [...stdout.matchAll(/^([^:\t]+)\S*\t(.*)$/gm)].map(([, name = "", version = ""]) => [
        name,
        version,
      ]),
    )
  const here = versions(ours)
  const there = versions(base)
  for (const [, name = "", version = ""] of log.matchAll(/^Setting up ([^:\s]+)\S* \((\S+)\)/gm)) {
    there.set(name, version)
  }
  expect(ORIGINS.filter((name) => !there.has(name))).toEqual([])
  return ORIGINS.filter((name) => here.get(name) !== there.get(name))
}
