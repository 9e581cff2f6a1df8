/** What the web server reads: the URI, the files, their owners, and that they are never half there. */
import { execFileSync } from "node:child_process"
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { ownerOf, writeTargetFile } from "../../parent/target/files.js"
import { certificateUri, privateKeyUri } from "../../parent/target/pkcs11-uri.js"
import { stanza } from "../../parent/target/stanza.js"
import { refusalOf } from "./refusal.js"

const isRoot = process.getuid?.() === 0
const ROOT = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "target-"))
})
afterEach(() => rm(dir, { recursive: true }))

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o7777).toString(8)
}

describe("a PKCS #11 URI", () => {
  it.each([
    ["plain", "www-1.example_com~", "www-1.example_com~"],
    ["space", "my token", "my%20token"],
    ["delimiters of the path", "a;b=c/d?e", "a%3Bb%3Dc%2Fd%3Fe"],
    ["a percent sign", "100%", "100%25"],
    ["sub-delims", "!$&'()*+,", "%21%24%26%27%28%29%2A%2B%2C"],
    ["quotes and brackets", '"<>[]{}|\\^`#@:', "%22%3C%3E%5B%5D%7B%7D%7C%5C%5E%60%23%40%3A"],
    ["UTF-8", "zürich 🔑", "z%C3%BCrich%20%F0%9F%94%91"],
  ])("encodes %s", (_name, label, encoded) => {
    expect(privateKeyUri({ token: label })).toBe(
      `pkcs11:token=${encoded};object=${encoded};type=private`,
    )
    expect(certificateUri({ token: label })).toBe(
      `pkcs11:token=${encoded};object=${encoded};type=cert`,
    )
    expect(decodeURIComponent(encoded)).toBe(label)
  })

  it("names one key for good by its CKA_ID", () => {
    const keyId = Buffer.from("00416fff", "hex")
    expect(privateKeyUri({ token: "a b", keyId })).toBe(
      "pkcs11:token=a%20b;id=%00%41%6F%FF;type=private",
    )
  })

  it("names the PIN's file, its slashes as they are", () => {
    expect(privateKeyUri({ token: "www", pin: { file: "/run/a b/&x=%.pin" } })).toBe(
      "pkcs11:token=www;object=www;type=private?pin-source=file:/run/a%20b/%26x%3D%25.pin",
    )
  })
})

describe("a file for the server", () => {
  it("has the mode and owner asked for, whatever the umask or was there", async () => {
    const umask = process.umask(0o077)
    try {
      const path = join(dir, "new", "file")
      await writeTargetFile(path, "one", { mode: 0o644, owner: ROOT })
      expect(await modeOf(path)).toBe("644")
      await chmod(path, 0o777)
      await writeTargetFile(path, "two", { mode: 0o640, owner: ROOT })
      expect(await modeOf(path)).toBe("640")
      expect(await readFile(path, "utf8")).toBe("two")
      expect(await readdir(join(dir, "new"))).toEqual(["file"])
    } finally {
      process.umask(umask)
    }
  })

  it.runIf(isRoot)("belongs to its owner", async () => {
    const path = join(dir, "file")
    await writeTargetFile(path, "x", { mode: 0o640, owner: { uid: 4_711, gid: 4_712 } })
    expect(await stat(path)).toMatchObject({ uid: 4_711, gid: 4_712 })
  })

  it("cannot be written where a file is in the way", async () => {
    await writeFile(join(dir, "file"), "")
    const path = join(dir, "file", "below")
    const { code, message, advice } = await refusalOf(
      writeTargetFile(path, "x", { mode: 0o644, owner: ROOT }),
    )
    expect(code).toBe("target-not-writable")
    expect(message).toMatch(/cannot write .*below: (ENOTDIR|EEXIST)/)
    expect(advice).toContain("root")
  })

  it("is seen whole by a reader while it is written again and again", async () => {
    const path = join(dir, "file")
    const contents = ["a".repeat(100_000), "b".repeat(70_000)]
    const write = (round: number) =>
      writeTargetFile(path, contents[round % 2] ?? "", { mode: 0o644, owner: ROOT })
    await write(0)
    let writing = true
    let reads = 0
    const reader = (async () => {
      while (writing) {
        expect(contents.includes(await readFile(path, "utf8"))).toBe(true)
        reads++
      }
    })()
    try {
      for (let round = 0; round < 40; round++) await write(round)
    } finally {
      writing = false
    }
    await reader
    expect(reads).toBeGreaterThan(10)
  })
})

describe("owners", () => {
  it("are found by name", async () => {
    expect(await ownerOf("root", "root")).toEqual({ uid: 0, gid: 0 })
    const [, , uid] = execFileSync("getent", ["passwd", "daemon"]).toString().split(":")
    expect((await ownerOf("daemon", "root")).uid).toBe(Number(uid))
  })

  it.each([
    ["user", "no-such-user", "root"],
    ["group", "root", "no such group"],
    ["user", "--help", "root"],
    ["user", "-s", "root"],
  ])("say which %s is unknown", async (what, user, group) => {
    const { code, message, advice } = await refusalOf(ownerOf(user, group))
    expect(code).toBe("target-not-writable")
    expect(message).toBe(`there is no ${what} ${JSON.stringify(what === "user" ? user : group)}`)
    expect(advice).toBe(`Correct the target's ${what}.`)
  })
})

describe("a stanza", () => {
  const values = { certificateFile: "/run/c.pem", key: "pkcs11:token=a" }

  it.each([
    ["httpd", ['SSLCertificateFile "/run/c.pem"', 'SSLCertificateKeyFile "pkcs11:token=a"']],
    ["nginx", ['ssl_certificate_key "pkcs11:token=a";', 'ssl_certificate "/run/c.pem";']],
  ] as const)("for %s has its two directives", (service, directives) => {
    const header = "# Written by tlskeep; changes are lost at the next renewal."
    expect(stanza(service, values)).toBe(`${[header, ...directives].join("\n")}\n`)
  })
})
