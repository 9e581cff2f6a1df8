/**
 * What is wrong with a file, one sentence a problem: place, field, and what is expected there. What was
 * found there is named by its kind, since it may be a PIN at the wrong place; of unknown keys only what
 * looks like one is quoted.
 */
import type { z } from "zod"
import { isAtKey } from "./alternatives.js"
import { type At, nameOf } from "./place.js"
import { inWords, knownKeysAt, sectionsThatKnow, shapeAt } from "./shape.js"
import { likelySpelling } from "./spelling.js"

/** The sentences for one issue of zod's; `written` is what was checked. */
export function problemsOf(issue: z.core.$ZodIssue, written: unknown, at: At): string[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => `${at(issue.path, key)}: ${unknownKey(issue.path, key)}`)
  }
  const where = isAtKey(issue)
    ? at(issue.path.slice(0, -1), String(issue.path.at(-1)))
    : at(issue.path)
  const name = issue.path.length === 0 ? "the file" : nameOf(issue.path)
  const given = valueAt(written, issue.path)
  return [`${where}: ${name}: ${sentence(issue, given)}`]
}

function sentence(issue: z.core.$ZodIssue, given: unknown): string {
  const shape = shapeAt(issue.path) ?? {}
  const expected = `expected ${inWords(issue.path.at(-1), shape)}`
  switch (issue.code) {
    case "custom":
    case "invalid_format":
      return issue.message
    case "invalid_type":
    case "invalid_value":
      if (given === undefined) return `is missing; ${expected}`
      return kindOf(given) === kindTaken(shape) ? expected : `${expected}, not ${kindOf(given)}`
    default:
      return expected
  }
}

function unknownKey(path: readonly PropertyKey[], key: string): string {
  const known = knownKeysAt(path)
  const likely = likelySpelling(key, known)
  const name = isPresentable(key) ? ` ${JSON.stringify(key)}` : ""
  if (likely === undefined) {
    const [section, another] = sectionsThatKnow(key)
    // A key of several sections says nothing about which of them was meant.
    return section === undefined || section === "" || another !== undefined
      ? `unknown key${name} (known here: ${known.join(", ")})`
      : `unknown key${name} (it belongs below ${section})`
  }
  const shape = shapeAt([...path, likely]) ?? {}
  const taken = shape.properties === undefined ? `, which takes ${inWords(likely, shape)}` : ""
  return `unknown key${name} (did you mean ${likely}?)${taken}`
}

/** `pin:1234` without a space is a key to YAML. */
function isPresentable(key: string): boolean {
  return /^[A-Za-z_][\w-]{0,63}$/.test(key) && !/[0-9]{3}/.test(key)
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, step) => {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, step)) return undefined
    return (at as Record<PropertyKey, unknown>)[step]
  }, value)
}

function kindOf(value: unknown): string {
  if (value === null) return "nothing"
  if (Array.isArray(value)) return "a list"
  switch (typeof value) {
    case "object":
      return "a section of keys"
    case "number":
    case "bigint":
      return "a number"
    case "boolean":
      return "true or false"
    default:
      return "text"
  }
}

/** Where it is of the right kind, something else is wrong with it. */
function kindTaken({
  type = "",
  enum: options,
}: {
  type?: string
  enum?: readonly unknown[]
}): string {
  if (options !== undefined || type === "string") return "text"
  return type === "integer" ? "a number" : ""
}
