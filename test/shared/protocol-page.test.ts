/** PROTOCOL.md, the TypeScript side and the module's header say the same. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { GENERAL_POLICY } from "../../enclave/policy/general.js"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import type { SigningKey } from "../../native/addon/index.js"
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
  MAX_EDDSA_BYTES,
  MAX_IN_FLIGHT,
  MAX_LABEL_BYTES,
  MAX_LOGIN_FAILURES,
  MAX_RANDOM_BYTES,
  PROTOCOL_VERSION,
  SIGNING_PORT,
} from "../../shared/protocol/limits.js"
import { DECRYPT_MECHANISMS, HASH_BYTES, MECHANISMS } from "../../shared/protocol/signing.js"
import { SIGNING_STATUS } from "../../shared/protocol/signing-status.js"
import { VERSION } from "../../shared/version.js"
import { makeKey, signingKey } from "../enclave/keys.js"
import { codeOf } from "./codes.js"

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

/** The texts in backquotes, or in double quotes, of a cell. */
const named = (cell = "") => [...cell.matchAll(/`([A-Z_0-9]+)`/g)].map(([, name]) => name)
const hashesIn = (cell = "") => [...cell.matchAll(/"(SHA-\d+)"/g)].map(([, hash]) => hash)

describe("the mechanism tables", () => {
  it.each([
    ["mechanism", MECHANISMS],
    ["decrypt mechanism", DECRYPT_MECHANISMS],
  ])("%s", (title, names) => {
    expect(table(title).map(([name]) => name?.replaceAll("`", ""))).toEqual([...names])
  })

  it("name the hashes of PSS", () => {
    const [, pss = []] = table("mechanism")
    expect(hashesIn(pss[3])).toEqual(Object.keys(HASH_BYTES))
  })
})

describe("the policy table", () => {
  const keys = (["RSA-2048", "P-256", "Ed25519"] as const).map((name) => signingKey(makeKey(name)))
  const rows = table("policy")

  it("has every policy, in their images' order", () => {
    expect(rows.map(([name]) => name)).toEqual(["`tls-server`", "`general`"])
  })

  it.each([TLS_SERVER_POLICY, GENERAL_POLICY])("$name", (policy) => {
    const [, signs, hashes, ecdsa = "", decrypts] =
      rows.find(([name]) => name === `\`${policy.name}\``) ?? []
    const of = <Name>(list: (key: SigningKey) => readonly Name[]) => new Set(keys.flatMap(list))
    expect(new Set(named(signs))).toEqual(of(policy.mechanismsFor))
    expect(new Set(hashesIn(hashes))).toEqual(of(policy.hashesFor))
    expect(new Set(named(decrypts))).toEqual(of(policy.decryptMechanismsFor))
    const [min = 0, max = 0] = [...ecdsa.matchAll(/\d+/g)].map(Number)
    const p256 = keys[1] as SigningKey
    for (const [bytes, admitted] of [
      [min - 1, false],
      [min, true],
      [max, true],
      [max + 1, false],
    ] as const) {
      const use = { mechanism: "ECDSA", data: Buffer.alloc(bytes), parameter: null }
      const code = codeOf(() => policy.admit(p256, use))
      expect(code, `${bytes} bytes`).toBe(admitted ? "no error" : "data-len-range")
    }
  })
})

describe("the requests", () => {
  it("of control are CONTROL_OPS", () => {
    const ops = [...page.matchAll(/^\| `\[id, "([a-z]+)"/gm)].map(([, op]) => op)
    expect(ops).toEqual([
      "hello",
      "generation",
      "list",
      "login",
      "sign",
      "random",
      "decrypt",
      ...CONTROL_OPS,
    ])
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
    ["message of EDDSA", `at most ${MAX_EDDSA_BYTES} bytes`],
    ["random bytes", `random bytes, 1 to ${MAX_RANDOM_BYTES}`],
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
