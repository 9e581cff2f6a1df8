/** The README's tables of consumers, functions and mechanisms say what is so. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { execa } from "execa"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { uriPem } from "../../../parent/target/uri-pem.js"
import { CHECKOUT } from "../../../sim/testbed/checkout.js"
import { TokenHost } from "../../../sim/testbed/token-host.js"
import { ROWS } from "./table.js"

const CKR_FUNCTION_NOT_SUPPORTED = 0x54
const CKR_FUNCTION_NOT_PARALLEL = 0x51
const CODES: Readonly<Record<string, number>> = {
  CKR_FUNCTION_NOT_SUPPORTED,
  CKR_FUNCTION_NOT_PARALLEL,
}
const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8")

/** Rows of the table with this heading, a string per cell. */
function tableUnder(heading: string): string[][] {
  const [, body = ""] =
    new RegExp(`^\\| ${heading} \\|.*\n\\|[-| ]+\n((?:\\|.*\n)+)`, "m").exec(readme) ?? []
  expect(body, `README.md has a table "${heading}"`).not.toBe("")
  const lines = body.trim().split("\n")
  return lines.map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

/** `CKM_SHA{256,384}_RSA_PKCS` stands for two names. */
function expandBraces(text: string): string[] {
  const [whole, choices] = /\{([^}]+)\}/.exec(text) ?? []
  if (whole === undefined || choices === undefined) return [text]
  return choices.split(",").flatMap((choice) => expandBraces(text.replace(whole, choice)))
}

/** Names in backquotes that begin so. */
function namesIn(cell: string, prefix: string): string[] {
  const quoted = [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name)
  return quoted.filter((name) => name.startsWith(prefix)).flatMap(expandBraces)
}

const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

let host: TokenHost
beforeAll(async () => {
  host = await TokenHost.up()
}, 90_000)
afterAll(() => host?.down(), 60_000)

describe("consumers", () => {
  const begin = "<!-- consumers-table:begin -->"
  const end = "<!-- consumers-table:end -->"

  test("the table is what scripts/consumers-table.mjs prints", async () => {
    const script = fileURLToPath(new URL("../../../scripts/consumers-table.mjs", import.meta.url))
    const { stdout } = await execa(process.execPath, [script])
    expect(readme).toContain(begin)
    const section = readme.slice(readme.indexOf(begin) + begin.length, readme.indexOf(end))
    expect(section.trim()).toBe(stdout.trim())
  })

  test("each row is one of its own, and belongs to a file that tries it", () => {
    expect(new Set(ROWS.map(({ id }) => id)).size).toBe(ROWS.length)
    for (const { id, file } of ROWS) {
      const text = readFileSync(beside(file), "utf8")
      expect(text, `${file} closes with the check of its rows`).toContain("trial.finish()")
      expect(text, `${file} is the file of ${id}`).toContain(`new Trial("${file}")`)
    }
  })
})

test("the commands that make a key file of a URI do", async () => {
  const [, commands = ""] = /```sh\n(uri=[^`]+)```/.exec(readme) ?? []
  const [, uri = ""] = /^uri='(.+)'$/m.exec(commands) ?? []
  await execa("bash", ["-e", "-c", commands], { cwd: host.dir })
  expect(readFileSync(join(host.dir, "web-key.pem"), "utf8")).toBe(uriPem(uri))
})

describe("functions", () => {
  test("the table says which functions the module has", async () => {
    const { stdout: symbols } = await execa("nm", ["-D", "--defined-only", CHECKOUT.module])
    const exported = [...symbols.matchAll(/ T (C_\w+)/g)].map(([, name = ""]) => name)
    const { stdout } = await execa(
      "/usr/bin/python3",
      [beside("function_probe.py"), CHECKOUT.module, exported.join(",")],
      { env: host.env },
    )
    const answers: Record<string, number> = JSON.parse(stdout)

    const named = new Set<string>()
    for (const [functions = "", status = ""] of tableUnder("functions")) {
      const [codeName] = namesIn(status, "CKR_")
      for (const name of namesIn(functions, "C_")) {
        expect(named.has(name), `${name} stands in one row`).toBe(false)
        named.add(name)
        expect(exported, `${name} is exported`).toContain(name)
        const code = CODES[codeName ?? ""]
        // Any other status, a refusal to write among them, is given to whoever has a session.
        if (code === undefined) {
          expect(Object.values(CODES), `${name} is there`).not.toContain(answers[name])
        } else {
          expect(answers[name], `${name} answers ${codeName}`).toBe(code)
        }
      }
    }
    const others = Object.entries(answers).filter(([name]) => !named.has(name))
    const there = others.filter(([, rv]) => rv !== CKR_FUNCTION_NOT_SUPPORTED)
    expect(there, "functions that the table leaves out").toEqual([])
  })
})

describe("mechanisms", () => {
  test("the table says which mechanisms a token has, for keys of which size", async () => {
    const rows = tableUnder("mechanisms").map(([mechanisms = "", keys = ""]) => ({
      names: namesIn(mechanisms, "CKM_"),
      keys,
    }))
    for (const { label } of host.tokens) {
      const names = rows.flatMap((row) => row.names)
      const { stdout } = await execa(
        process.execPath,
        [beside("mechanism-child.mjs"), CHECKOUT.module, label, names.join(",")],
        { env: host.env },
      )
      const answer: {
        mechanisms: { mechanism: number; minKeySize: number; maxKeySize: number }[]
        numbers: Record<string, number | undefined>
      } = JSON.parse(stdout)
      const inTable = names.map((name) => answer.numbers[name])
      const inModule = answer.mechanisms.map(({ mechanism }) => mechanism)
      expect(inTable.toSorted(), names.join(", ")).toEqual(inModule.toSorted())

      for (const { names: ofRow, keys } of rows) {
        const [, from, to] = /(\d+) to (\d+) bits/.exec(keys) ?? []
        if (from === undefined || to === undefined) continue
        for (const name of ofRow) {
          const mechanism = answer.numbers[name]
          const info = answer.mechanisms.find((each) => each.mechanism === mechanism)
          expect(info, name).toEqual({ mechanism, minKeySize: +from, maxKeySize: +to })
        }
      }
    }
  })
})
