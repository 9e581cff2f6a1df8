/** Reads a configuration file into a typed value, or says where in it what is wrong. */
import { readFile } from "node:fs/promises"
import { normalize } from "node:path"
import { type Document, LineCounter, parseDocument } from "yaml"
import type { z } from "zod"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError } from "../errors.js"
import { knownKeysAt, likelySpelling } from "./known-keys.js"
import { locate, type Position, position } from "./position.js"
import { type Config, configSchema } from "./schema.js"
import { yamlProblem } from "./yaml-problem.js"

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
    throw notYaml(place(file, position(lines, broken.pos[0])), yamlProblem(broken.code))
  }
  const at = (path: readonly PropertyKey[], key?: string): string =>
    place(file, locate(document, lines, path, key))
  const parsed = configSchema.safeParse(plainValue(document, file) ?? {}, { error: missing })
  const problems = parsed.success
    ? duplicates(parsed.data, at)
    : parsed.error.issues.flatMap((issue) => describeIssue(issue, at))
  if (parsed.success && problems.length === 0) return parsed.data
  throw new AgentError("config-invalid", problems.join("\n"), {
    advice: "Correct the file; the README's table of configuration keys says what each one takes.",
  })
}

/** Aliases are followed here: one may name no anchor, or make the file grow without bounds. */
function plainValue(document: Document, file: string): unknown {
  try {
    return document.toJS()
  } catch {
    throw notYaml(file, yamlProblem("BAD_ALIAS"))
  }
}

/** No cause is kept: the parser's message quotes the file, a PIN perhaps. */
function notYaml(where: string, problem: string): AgentError {
  return new AgentError("config-not-yaml", `${where}: ${problem}`, {
    advice: "Correct the YAML there.",
  })
}

function missing({ input }: { input?: unknown }): string | undefined {
  return input === undefined ? "is missing" : undefined
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
  const name = nameOf(issue.path)
  // zod says what it expected and of which type the input was, never the value: a PIN may be one.
  return [`${at(issue.path)}: ${name === "" ? "the file" : name}: ${issue.message}`]
}

/** `tokens[0].source`, as the README writes it but for the index. */
function nameOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, step) => {
    if (typeof step === "number") return `${name}[${step}]`
    return name === "" ? String(step) : `${name}.${String(step)}`
  }, "")
}

function duplicates(config: Config, at: At): string[] {
  return [
    ...repeated(config, "label", ({ label }) => label, ["label"], at),
    ...repeated(
      config,
      "target file",
      ({ target }) => normalize(target.Snippet.path),
      ["target"],
      at,
    ),
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

function place(file: string, at: Position | undefined): string {
  return at === undefined ? file : `${file}:${at.line}:${at.column}`
}
