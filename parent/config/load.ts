/** Reads a configuration file into a typed value, or says where in it what is wrong. */
import { readFile } from "node:fs/promises"
import { type Document, LineCounter, parseDocument } from "yaml"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError } from "../errors.js"
import { adapt } from "./adapt.js"
import type { Config } from "./config.js"
import { conflictsOf } from "./conflicts.js"
import { byPlace, place, placesOf } from "./place.js"
import { plainValue } from "./plain-value.js"
import { position } from "./position.js"
import { problemsOf } from "./problem.js"
import { configSchema } from "./schema.js"
import { yamlProblem } from "./yaml-problem.js"

/**
 * Loads and checks the file, ours or AWS's `acm.yaml`. All problems are reported at once, one a line,
 * each with its place.
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
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    // The parser's warnings quote the file on stderr.
    logLevel: "error",
  })
  const [broken] = document.errors
  if (broken !== undefined) {
    throw notYaml(place(file, position(lines, broken.pos[0])), yamlProblem(broken.code))
  }
  const at = placesOf(document, lines, file)
  const written = readValue(document, file) ?? {}
  const parsed = configSchema.safeParse(written)
  if (!parsed.success) {
    throw invalid(parsed.error.issues.flatMap((issue) => problemsOf(issue, written, at)))
  }
  const config = adapt(parsed.data, at)
  const conflicts = conflictsOf(config, written, at)
  if (conflicts.length > 0) throw invalid(conflicts)
  return config
}

/** Aliases are followed here: one may name no anchor, or make the file grow without bounds. */
function readValue(document: Document, file: string): unknown {
  try {
    return plainValue(document)
  } catch {
    throw notYaml(file, yamlProblem("BAD_ALIAS"))
  }
}

/** In the order of the file. */
function invalid(problems: readonly string[]): AgentError {
  const inOrder = problems.toSorted(byPlace)
  return new AgentError("config-invalid", inOrder.join("\n"), {
    advice: "Correct the file; the README's table of configuration keys says what each one takes.",
  })
}

/** No cause is kept: the parser's message quotes the file, a PIN perhaps. */
function notYaml(where: string, problem: string): AgentError {
  return new AgentError("config-not-yaml", `${where}: ${problem}`, {
    advice: "Correct the YAML there.",
  })
}
