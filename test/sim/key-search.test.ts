/** The search that the custody tests rest on: it finds a key in every form in which one lies about. */
import { createPrivateKey, generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { needlesOf } from "../../sim/testbed/key-material.js"
import { searchFiles, searchMemory } from "../../sim/testbed/key-search.js"

const PEM = { type: "pkcs8", format: "pem" } as const
const KEYS = {
  RSA: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export(PEM).toString(),
  EC: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export(PEM).toString(),
}

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "key-search-"))
})
afterEach(() => rmSync(dir, { recursive: true }))

describe.each(Object.entries(KEYS))("%s", (type, pem) => {
  const key = createPrivateKey(pem)
  const { d = "", p = d } = key.export({ format: "jwk" })
  const number = Buffer.from(p, "base64url")
  const littleEndian = Buffer.from(number).reverse()
  const noise = Buffer.alloc(3, "x")
  const forms: [string, string | Buffer][] = [
    ["PEM", pem],
    ["PEM in one line of JSON", JSON.stringify({ key: pem })],
    ["DER", key.export({ type: "pkcs8", format: "der" })],
    ["big-endian", number],
    ["little-endian", Buffer.concat([noise, littleEndian])],
    ["hex", number.toString("hex")],
    ["upper-case hex", number.toString("hex").toUpperCase()],
    ["hex with colons", (number.toString("hex").match(/../g) ?? []).join(":")],
    ["base64", number.toString("base64")],
    [
      "base64 of something around it, one byte in",
      Buffer.concat([noise.subarray(2), number]).toString("base64"),
    ],
    [
      "base64 of something around it, two bytes in",
      Buffer.concat([noise.subarray(1), number]).toString("base64"),
    ],
    ["base64url", number.toString("base64url")],
    ["JWK", JSON.stringify(key.export({ format: "jwk" }))],
  ]

  test.each(forms)("is found as %s", async (_form, content) => {
    writeFileSync(join(dir, "file"), Buffer.concat([Buffer.alloc(1_000, 7), Buffer.from(content)]))
    const { findings } = await searchFiles(dir, needlesOf(pem))
    expect(findings.length).toBeGreaterThan(0)
    expect(findings[0]?.where).toBe(join(dir, "file"))
  })

  test("is not found where another key of its kind is", async () => {
    const other = type === "RSA" ? KEYS.EC : KEYS.RSA
    const twin =
      type === "RSA"
        ? generateKeyPairSync("rsa", { modulusLength: 2048 })
        : generateKeyPairSync("ec", { namedCurve: "P-256" })
    writeFileSync(join(dir, "file"), other + twin.privateKey.export(PEM))
    const { findings, bytes } = await searchFiles(dir, needlesOf(pem))
    expect(findings).toEqual([])
    expect(bytes).toBeGreaterThan(500)
  })

  test("is found across the pieces that memory is read in", () => {
    // 3 MiB with the number on each boundary of a MiB, whatever the buffer's own alignment.
    const memory = Buffer.alloc(3 * 1024 * 1024, 1)
    for (let at = 500_000; at < memory.length - 1_000; at += 999) number.copy(memory, at)
    const { findings } = searchMemory(process.pid, needlesOf(pem))
    const big = findings.filter(({ what }) => what.endsWith("big-endian"))
    expect(memory.includes(number)).toBe(true)
    expect(big.length).toBeGreaterThanOrEqual(3)
  }, 60_000)
})
