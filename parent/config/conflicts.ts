/** Refusals of what is right by itself, and wrong beside the rest of the file. */
import { normalize } from "node:path"
import type { Config, TokenConfig } from "./config.js"
import type { At } from "./place.js"

/**
 * Labels given twice, and files that two would write or that one would write over.
 *
 * @param written - what the file holds, where targets stand under their names there
 * @returns a sentence for each, with its place
 */
export function conflictsOf(config: Omit<Config, "notices">, written: unknown, at: At): string[] {
  const places = config.tokens.map((_, index) => pathOfTarget(written, index))
  return [
    ...repeatedLabels(config.tokens, at),
    ...config.tokens.flatMap(({ target }, index) => {
      const path = places[index] ?? []
      const problem = problemOfFile(normalize(target.path), index, config)
      return problem === undefined ? [] : [`${at(path)}: target file ${quoted(target)} ${problem}`]
    }),
  ]
}

function repeatedLabels(tokens: readonly TokenConfig[], at: At): string[] {
  return tokens.flatMap(({ label }, index) => {
    const first = tokens.findIndex((token) => token.label === label)
    if (first === index) return []
    const where = at(["tokens", index, "label"])
    return [`${where}: label ${JSON.stringify(label)} is token ${first + 1}'s already`]
  })
}

function problemOfFile(
  path: string,
  index: number,
  { tokens, options, enclave, metrics }: Omit<Config, "notices">,
): string | undefined {
  const first = tokens.findIndex(({ target }) => normalize(target.path) === path)
  if (first < index) return `is token ${first + 1}'s already`
  const runDir = normalize(`${options.run_dir}/`)
  if (path.startsWith(runDir)) return "lies in options.run_dir, where all files are the agent's own"
  const others: [name: string, path: string | undefined][] = [
    ["enclave.image_path", enclave.image_path],
    ["options.module_path", options.module_path],
    ["metrics.listen", metrics?.listen.replace(/^unix:/, "")],
    ...tokens.flatMap(({ source }, at): typeof others =>
      source.kind === "FileDb"
        ? [
            [`tokens[${at}].source.FileDb.path`, source.path],
            [`tokens[${at}].source.FileDb.certificate_path`, source.certificate_path],
          ]
        : [],
    ),
  ]
  const [name] = others.find(([, other]) => other !== undefined && normalize(other) === path) ?? []
  return name === undefined ? undefined : `is ${name}, too`
}

function quoted(target: TokenConfig["target"]): string {
  return JSON.stringify(target.path)
}

/** Where the target's path stands: under `NginxStanza`, say, which the checked value calls Conf. */
function pathOfTarget(written: unknown, index: number): PropertyKey[] {
  const { tokens } = written as { tokens: { target: Record<string, unknown> }[] }
  const [name = ""] = Object.keys(tokens[index]?.target ?? {})
  return ["tokens", index, "target", name, "path"]
}
