/**
 * Prints the README's table of configuration keys from the compiled schema, or with `--write` puts it
 * into the README: run `make dist` first.
 */
import { readFile, writeFile } from "node:fs/promises"
import { configTable } from "../dist/parent/config/describe.js"

const README = new URL("../README.md", import.meta.url)
const BEGIN = "<!-- config-table:begin -->\n"
const END = "<!-- config-table:end -->"

if (process.argv.includes("--write")) {
  const readme = await readFile(README, "utf8")
  const begin = readme.indexOf(BEGIN)
  const end = readme.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`README.md lacks ${BEGIN.trim()} and ${END}`)
  const table = readme.slice(0, begin + BEGIN.length) + configTable() + readme.slice(end)
  await writeFile(README, table)
} else process.stdout.write(configTable())
