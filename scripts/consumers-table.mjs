// Prints the README's table of consumers from test/e2e/consumers/table.json.
import { readFile } from "node:fs/promises"

const source = new URL("../test/e2e/consumers/table.json", import.meta.url)
const rows = JSON.parse(await readFile(source, "utf8"))

const cells = rows.map(({ consumer, version, how, result, note = "" }) => [
  consumer,
  version,
  how,
  result === "works" ? result : `**${result}**`,
  note,
])
const lines = [
  ["consumer", "version", "through", "result", "note"],
  ["---", "---", "---", "---", "---"],
  ...cells,
]
process.stdout.write(lines.map((line) => `| ${line.join(" | ")} |\n`).join(""))
