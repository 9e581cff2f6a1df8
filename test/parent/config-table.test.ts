/** The README's table of configuration keys is the schema's. */
import { readFile } from "node:fs/promises"
import { expect, it } from "vitest"
import { configTable, describeConfig } from "../../parent/config/describe.js"
import { configSchema } from "../../parent/config/schema.js"

const BEGIN = "<!-- config-table:begin -->"
const END = "<!-- config-table:end -->"

it("describes every key once, with a meaning", () => {
  const keys = describeConfig()
  expect(new Set(keys.map(({ name }) => name)).size).toBe(keys.length)
  for (const { name, meaning, type } of keys) {
    expect(meaning, name).not.toBe("")
    expect(type, name).not.toBe("")
  }
  expect(keys.filter(({ required }) => required).map(({ name }) => name)).toEqual([
    "enclave.image_path",
    "tokens[].label",
    "tokens[].source.S3.uri",
    "tokens[].target.Snippet.path",
  ])
})

it("gives the defaults that a file is filled up with", () => {
  const config = configSchema.parse({
    enclave: { image_path: "/x" },
    tokens: [
      { label: "t", source: { S3: { uri: "s3://abc/d" } }, target: { Snippet: { path: "/y" } } },
    ],
  })
  for (const { name, default: written } of describeConfig()) {
    if (written === undefined) continue
    const value = name
      .replace("[]", ".0")
      .split(".")
      .reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], config)
    expect(written, name).toBe(Array.isArray(value) ? `[${value.join(", ")}]` : String(value))
  }
})

it("says types and limits", () => {
  const types = Object.fromEntries(describeConfig().map(({ name, type }) => [name, type]))
  expect(types).toMatchObject({
    "enclave.cpu_count": "integer from 1",
    "enclave.boot_timeout_ms": "integer, 100 to 600000",
    "options.service": "`httpd`",
    "options.reload_command": "list of strings",
    "log.enable_timestamp": "boolean",
  })
})

it("is the table in README.md", async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8")
  const begin = readme.indexOf(BEGIN)
  const end = readme.indexOf(END)
  expect(begin, `README.md has ${BEGIN}`).toBeGreaterThan(0)
  expect(end, `README.md has ${END}`).toBeGreaterThan(begin)
  // `make dist && node scripts/config-table.mjs` prints it.
  expect(readme.slice(begin + BEGIN.length, end).trim()).toBe(configTable().trim())
})
