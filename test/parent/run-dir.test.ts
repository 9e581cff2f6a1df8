/** The run directory: what is in it, who may read it, and what outlives a restart. */
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { RunDir } from "../../parent/run-dir.js"
import { refusalOf } from "./refusal.js"

let parent: string
let path: string
let runDir: RunDir
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "run-"))
  path = join(parent, "deep", "tlskeep")
  runDir = await RunDir.open(path)
})
afterEach(() => rm(parent, { recursive: true }))

async function modeOf(file: string): Promise<string> {
  return ((await stat(file)).mode & 0o7777).toString(8)
}

const GID = 4_711
const isRoot = process.getuid?.() === 0

describe("the directory", () => {
  it("can be traversed by servers, whatever the umask", async () => {
    const umask = process.umask(0o077)
    try {
      const tight = await RunDir.open(join(parent, "tight"))
      for (const part of ["", "pins", "certificates", "objects"]) {
        expect(await modeOf(join(tight.path, part))).toBe("755")
      }
    } finally {
      process.umask(umask)
    }
  })

  it("is unusable where a file is in its way", async () => {
    const file = join(parent, "file")
    await writeFile(file, "")
    for (const at of [file, join(file, "below")]) {
      const { code, message, advice } = await refusalOf(RunDir.open(at))
      expect(code).toBe("run-dir-unusable")
      expect(message).toContain(at)
      expect(advice).toContain("options.run_dir")
    }
  })

  it("is unusable once it is gone", async () => {
    await rm(path, { recursive: true })
    expect((await refusalOf(runDir.newControlSecret())).code).toBe("run-dir-unusable")
    expect((await refusalOf(runDir.pin("www", undefined, 0))).code).toBe("run-dir-unusable")
  })

  it("holds nothing half written, and no leftovers", async () => {
    await runDir.newControlSecret()
    await runDir.pin("www", undefined, 0)
    await runDir.writeEndpoint({ kind: "vsock", cid: 16, port: 9_999 })
    expect((await readdir(path)).toSorted()).toEqual([
      "certificates",
      "control-secret",
      "endpoint",
      "objects",
      "pins",
    ])
    expect(await readdir(join(path, "pins"))).toEqual(["777777.pin"])
  })
})

describe("the control secret", () => {
  it("is not there at first", async () => {
    expect(await runDir.controlSecret()).toBeUndefined()
  })

  it("is 32 random bytes that only the agent reads, and outlives it", async () => {
    const secret = await runDir.newControlSecret()
    expect(secret).toHaveLength(32)
    expect(await modeOf(join(path, "control-secret"))).toBe("600")
    expect(await (await RunDir.open(path)).controlSecret()).toEqual(secret)
    expect(await runDir.newControlSecret()).not.toEqual(secret)
  })

  it("that was cut short is none", async () => {
    await writeFile(join(path, "control-secret"), "abcd\n")
    expect(await runDir.controlSecret()).toBeUndefined()
  })
})

describe("a PIN", () => {
  it("is random, and kept over restarts", async () => {
    const pin = await runDir.pin("www", undefined, 0)
    expect(pin).toMatch(/^[A-Za-z0-9_-]{22}$/)
    const again = await RunDir.open(path)
    expect(await again.pin("www", undefined, 0)).toBe(pin)
    expect(await again.pin("other", undefined, 0)).not.toBe(pin)
  })

  it("is the configured one where there is one, and stays so", async () => {
    await runDir.pin("www", undefined, 0)
    expect(await runDir.pin("www", "configured", 0)).toBe("configured")
    expect(await readFile(runDir.pinFile("www"), "utf8")).toBe("configured")
    expect(await runDir.pin("www", undefined, 0)).toBe("configured")
  })

  it("is made again where its file is empty", async () => {
    await writeFile(runDir.pinFile("www"), "")
    const pin = await runDir.pin("www", undefined, 0)
    expect(pin).toHaveLength(22)
    expect(await readFile(runDir.pinFile("www"), "utf8")).toBe(pin)
  })

  it("has no line end: consumers take the file as it is", async () => {
    await runDir.pin("www", "1234", 0)
    expect(await readFile(runDir.pinFile("www"), "utf8")).toBe("1234")
  })

  it.runIf(isRoot)("is read by the web server's group and nobody else", async () => {
    await runDir.pin("www", undefined, GID)
    expect(await modeOf(runDir.pinFile("www"))).toBe("640")
    expect(await stat(runDir.pinFile("www"))).toMatchObject({ uid: 0, gid: GID })
    // The configured group changed, the PIN did not.
    await chown(runDir.pinFile("www"), 0, 0)
    await runDir.pin("www", undefined, GID)
    expect((await stat(runDir.pinFile("www"))).gid).toBe(GID)
  })

  it("that others could read is closed to them again", async () => {
    const pin = await runDir.pin("www", undefined, 0)
    await writeFile(runDir.pinFile("www"), pin)
    await chmod(runDir.pinFile("www"), 0o644)
    await runDir.pin("www", undefined, 0)
    expect(await modeOf(runDir.pinFile("www"))).toBe("640")
  })
})

describe("labels", () => {
  it("give names that are safe and distinct", () => {
    const labels = [
      "a/b",
      "a_b",
      "../..",
      "A",
      "a",
      "ü",
      "u\u0308",
      ".",
      " ",
      "%2e",
      "x".repeat(32),
    ]
    const files = labels.flatMap((label) => [
      runDir.pinFile(label),
      runDir.certificateFile("httpd", label),
    ])
    expect(new Set(files).size).toBe(files.length)
    for (const file of files) {
      expect(file).toMatch(/\/deep\/tlskeep\/(pins|certificates)\/(httpd-)?[0-9a-f]+\.(pin|pem)$/)
    }
  })
})

it("writes the endpoint for everyone to read, in one step", async () => {
  await runDir.writeEndpoint({ kind: "vsock", cid: 16, port: 9_999 })
  expect(await readFile(runDir.endpointFile, "utf8")).toBe("vsock:16:9999\n")
  expect(await modeOf(runDir.endpointFile)).toBe("644")
  const before = (await stat(runDir.endpointFile)).ino
  await runDir.writeEndpoint({ kind: "vsock", cid: 17, port: 9_999 })
  expect((await stat(runDir.endpointFile)).ino).not.toBe(before)
})
