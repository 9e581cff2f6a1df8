/** PROTOCOL.md, the TypeScript side and the module's header say the same. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { MAX_CBOR_DEPTH } from "../../shared/cbor.js"
import { MAX_FRAME_BYTES } from "../../shared/frame.js"
import { CONTROL_OPS } from "../../shared/protocol/control.js"
import { CONTROL_CODES } from "../../shared/protocol/control-codes.js"
import {
  CONTROL_PORT,
  CONTROL_SECRET_BYTES,
  FINGERPRINT_BYTES,
  HELLO_TIMEOUT_MS,
  MAX_CERTIFICATE_BYTES,
  MAX_CHAIN_BYTES,
  MAX_IN_FLIGHT,
  MAX_LABEL_BYTES,
  MAX_LOGIN_FAILURES,
  PROTOCOL_VERSION,
  SIGNING_PORT,
} from "../../shared/protocol/limits.js"
import { HASH_BYTES, MECHANISMS } from "../../shared/protocol/signing.js"
import { SIGNING_STATUS } from "../../shared/protocol/signing-status.js"
import { VERSION } from "../../shared/version.js"

const root = join(import.meta.dirname, "../..")
const read = (file: string) => readFileSync(join(root, file), "utf8")
const page = read("shared/PROTOCOL.md")
const header = read("native/pkcs11/src/protocol_status.h")
/** The page with its lines joined: a sentence may break anywhere. */
const prose = page.replaceAll("`", "").replace(/\s+/g, " ")

/** The rows of the table whose first column has this title, cell by cell. */
function table(title: string): string[][] {
  const lines = page.split("\n")
  const start = lines.findIndex((line) => new RegExp(`^\\|\\s*${title}\\s*\\|`).test(line))
  if (start < 0) throw new Error(`no table of ${title}`)
  const end = lines.findIndex((line, at) => at > start && !line.startsWith("|"))
  return lines.slice(start + 2, end).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

describe("the status table", () => {
  const rows = table("status").map(([status, name, rv]) => ({
    status: Number(status),
    name: name ?? "",
    rv: /^CKR_[A-Z_]+/.exec(rv ?? "")?.[0],
  }))

  it("is SIGNING_STATUS", () => {
    expect(Object.fromEntries(rows.map(({ name, status }) => [name, status]))).toEqual(
      SIGNING_STATUS,
    )
    expect(rows.map(({ status }) => status)).toEqual(rows.map((_row, at) => at))
  })

  it("is the module's table, with the same CK_RVs", () => {
    const entries = [...header.matchAll(/\{Status\{(\d+)\}, "([a-z-]+)", (CKR_[A-Z_]+)\}/g)]
    expect(entries.map(([, status, name, rv]) => ({ status: Number(status), name, rv }))).toEqual(
      rows,
    )
  })

  it("is the module's enumeration", () => {
    const entries = [...header.matchAll(/^ {2}k([A-Za-z]+) = (\d+),$/gm)]
    const pascal = (name: string) =>
      name.replace(/(^|-)([a-z])/g, (_all, _dash, letter: string) => letter.toUpperCase())
    expect(entries.map(([, name, status]) => [name, Number(status)])).toEqual(
      rows.map(({ name, status }) => [pascal(name), status]),
    )
  })
})

describe("the mechanism table", () => {
  const rows = table("mechanism")

  it("is MECHANISMS", () => {
    expect(rows.map(([name]) => name?.replaceAll("`", ""))).toEqual([...MECHANISMS])
  })

  it("names the hashes of PSS", () => {
    const [, , , parameter = ""] = rows[1] ?? []
    const named = [...parameter.matchAll(/"(SHA-\d+)"/g)].map(([, hash]) => hash)
    expect(named).toEqual(Object.keys(HASH_BYTES))
  })
})

describe("the requests", () => {
  it("of control are CONTROL_OPS", () => {
    const ops = [...page.matchAll(/^\| `\[id, "([a-z]+)"/gm)].map(([, op]) => op)
    expect(ops).toEqual(["hello", "generation", "list", "login", "sign", ...CONTROL_OPS])
  })
})

describe("the limits", () => {
  it.each([
    ["version", `version ${PROTOCOL_VERSION}`],
    ["signing port", `signing (port ${SIGNING_PORT}`],
    ["control port", `control (port ${CONTROL_PORT}`],
    ["frame", `length N (1 to ${MAX_FRAME_BYTES})`],
    ["requests in flight", `may have ${MAX_IN_FLIGHT} requests in flight`],
    ["depth", `at most ${MAX_CBOR_DEPTH} levels deep`],
    ["time for hello", `hello within ${HELLO_TIMEOUT_MS / 1000} s`],
    ["login failures", `closed after ${MAX_LOGIN_FAILURES} of them`],
    ["fingerprint", `SubjectPublicKeyInfo, ${FINGERPRINT_BYTES} bytes`],
    ["label", `1 to ${MAX_LABEL_BYTES} bytes of UTF-8`],
    ["certificate", `each at most ${MAX_CERTIFICATE_BYTES / 1024} KiB`],
    ["chain", `${MAX_CHAIN_BYTES / 1024} KiB in all`],
    ["control secret", `secret is ${CONTROL_SECRET_BYTES} random bytes`],
  ])("%s", (_name, sentence) => {
    expect(prose.replaceAll("**", "")).toContain(sentence)
  })
})

describe("the rest", () => {
  it("says where the control codes are, and each has a sentence", () => {
    expect(page).toContain("`protocol/control-codes.ts`")
    for (const [code, sentence] of Object.entries(CONTROL_CODES)) {
      expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/)
      expect(sentence, code).toMatch(/^\S.{8,}[^.]$/)
    }
  })

  it("is of package.json's version", () => {
    const { version } = JSON.parse(read("package.json")) as { version: string }
    expect(VERSION).toBe(version)
  })
})
