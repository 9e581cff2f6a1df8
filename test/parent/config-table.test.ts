/** The README's table of configuration keys is the schema's. */
import { readFile } from "node:fs/promises"
import { expect, it } from "vitest"
import { configTable, describeConfig } from "../../parent/config/describe.js"
import { parseConfig } from "../../parent/config/load.js"

const BEGIN = "<!-- config-table:begin -->"
const END = "<!-- config-table:end -->"

it("describes every key once, with a meaning", () => {
  const keys = describeConfig()
  expect(new Set(keys.map(({ name }) => name)).size).toBe(keys.length)
  for (const { name, meaning, type } of keys) {
    expect(meaning, name).not.toBe("")
    expect(type, name).not.toBe("")
  }
  const required = keys.filter((key) => key.required)
  expect(required.map(({ name, within }) => [name, within])).toEqual([
    ["metrics.listen", "metrics"],
    ["tokens[].label", undefined],
    ["tokens[].source.Acm.certificate_arn", "Acm"],
    ["tokens[].source.S3.uri", "S3"],
    ["tokens[].source.FileDb.path", "FileDb"],
    ["tokens[].target.Conf.path", "Conf"],
    ["tokens[].target.Conf.listener.address", "listener"],
    ["tokens[].target.Snippet.path", "Snippet"],
    ["tokens[].target.Snippet.listener.address", "listener"],
  ])
})

it.each([
  ["Conf", { Conf: { path: "/y" } }],
  ["Snippet", { Snippet: { path: "/y" } }],
])("gives the defaults that a file is filled up with: %s", (kind, target) => {
  const token = { label: "t", source: { S3: { uri: "s3://abc/d" } }, target }
  const config = parseConfig(JSON.stringify({ tokens: [token] }), "f.yaml")
  let compared = 0
  for (const { name, default: written } of describeConfig()) {
    if (written === undefined) continue
    const [, ofTarget] = /^tokens\[\]\.target\.([A-Za-z]+)\./.exec(name) ?? []
    if (ofTarget !== undefined && ofTarget !== kind) continue
    const value = name
      .replace("[]", ".0")
      .replace(`target.${kind}`, "target")
      .split(".")
      .reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], config)
    expect(written, name).toBe(String(value))
    compared += 1
  }
  expect(compared).toBeGreaterThan(15)
})

it("says types and limits", () => {
  const types = Object.fromEntries(describeConfig().map(({ name, type }) => [name, type]))
  expect(types).toMatchObject({
    "enclave.cpu_count": "integer from 1",
    "enclave.boot_timeout_ms": "integer, 100 to 600000",
    "options.service": "`httpd`, `nginx`",
    "options.reload_command": "list of strings",
    "tokens[].target.NginxStanza": "section",
    "tokens[].refresh_interval_secs": "integer, 1 to 86400",
    "log.enable_timestamp": "boolean",
  })
})

it("says what a key is required with", () => {
  const rows = configTable().split("\n")
  const requiredOf = (name: string): string | undefined =>
    rows.find((row) => row.startsWith(`| \`${name}\` |`))?.split(" | ")[2]
  expect(requiredOf("tokens[].label")).toBe("yes")
  expect(requiredOf("tokens[].pin")).toBe("no")
  expect(requiredOf("tokens[].source.S3.uri")).toBe("with `S3`")
})

it("is the table in README.md", async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8")
  const begin = readme.indexOf(BEGIN)
  const end = readme.indexOf(END)
  expect(begin, `README.md has ${BEGIN}`).toBeGreaterThan(0)
  expect(end, `README.md has ${END}`).toBeGreaterThan(begin)
  // `make dist && node scripts/config-table.mjs --write` puts it there.
  expect(readme.slice(begin + BEGIN.length, end).trim()).toBe(configTable().trim())
})
