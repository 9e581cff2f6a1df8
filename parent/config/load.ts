/** Reads a configuration file into a typed value, or says where in it what is wrong. */
import { readFile } from "node:fs/promises"
import { LineCounter, parseDocument } from "yaml"
import type { z } from "zod"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError } from "../errors.js"
import { knownKeysAt, likelySpelling } from "./known-keys.js"
import { locate, type Position } from "./position.js"
import { type Config, configSchema } from "./schema.js"

/**
 * Loads and checks the file. All problems are reported at once, one a line, each with its place.
 *
 * @throws AgentError `config-unreadable`, `config-not-yaml`, `config-invalid`
 */
export async function loadConfig(file: string): Promise<Config> {
  let text: string
  try {
    text = await readFile(file, "utf8")
  } catch (cause) {
    const reason = systemErrorCode(cause) ?? "unreadable"
    throw new AgentError("config-unreadable", `cannot read the configuration ${file}: ${reason}`, {
      advice: "Give the file by --config and make it readable to this user.",
      cause,
    })
  }
  return parseConfig(text, file)
}

/** {@link loadConfig} on a text; `file` names it in messages. */
export function parseConfig(text: string, file: string): Config {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [broken] = document.errors
  if (broken !== undefined) {
    const { line, col } = lines.linePos(broken.pos[0])
    throw new AgentError("config-not-yaml", `${file}:${line}:${col}: ${broken.message}`, {
      advice: "Correct the YAML there.",
      cause: broken,
    })
  }
  const parsed = configSchema.safeParse(document.toJS() ?? {})
  const at = (path: readonly PropertyKey[], key?: string): string =>
    place(file, locate(document, lines, path, key))
  const problems = parsed.success
    ? duplicates(parsed.data, at)
    : parsed.error.issues.flatMap((issue) => describeIssue(issue, at))
  if (parsed.success && problems.length === 0) return parsed.data
  throw new AgentError("config-invalid", problems.join("\n"), {
    advice: "Correct the file; the README's table of configuration keys says what each one takes.",
  })
}

type At = (path: readonly PropertyKey[], key?: string) => string

function describeIssue(issue: z.core.$ZodIssue, at: At): string[] {
  if (issue.code === "unrecognized_keys") {
    const known = knownKeysAt(configSchema, issue.path)
    return issue.keys.map((key) => {
      const likely = likelySpelling(key, known)
      const hint =
        likely === undefined ? `known here: ${known.join(", ")}` : `did you mean ${likely}?`
      return `${at(issue.path, key)}: unknown key ${JSON.stringify(key)} (${hint})`
    })
  }
  const name = issue.path.map(String).join(".")
  // zod says what it expected and of which type the input was, never the value: a PIN may be one.
  return [`${at(issue.path)}: ${name === "" ? "the file" : name}: ${issue.message}`]
}

function duplicates(config: Config, at: At): string[] {
  return [
    ...repeated(config, "label", ({ label }) => label, ["label"], at),
    ...repeated(config, "target file", ({ target }) => target.Snippet.path, ["target"], at),
  ]
}

function repeated(
  config: Config,
  what: string,
  pick: (token: Config["tokens"][number]) => string,
  path: readonly string[],
  at: At,
): string[] {
  const seen = new Map<string, number>()
  return config.tokens.flatMap((token, index) => {
    const value = pick(token)
    const first = seen.get(value)
    seen.set(value, first ?? index)
    if (first === undefined) return []
    const where = at(["tokens", index, ...path])
    return [`${where}: ${what} ${JSON.stringify(value)} is token ${first + 1}'s already`]
  })
}

function place(file: string, position: Position | undefined): string {
  return position === undefined ? file : `${file}:${position.line}:${position.column}`
}
