/** The schema as data: which keys there are at a place, and what each one takes, in words. */
import { z } from "zod"
import { configSchema } from "./schema.js"

/** The parts of a JSON schema that the configuration's schema comes to. */
export interface Shape {
  type?: string
  description?: string
  default?: unknown
  enum?: readonly unknown[]
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  properties?: Readonly<Record<string, Shape>>
  required?: readonly string[]
  items?: Shape
}

/** What a file may hold, as it is written: aliases are there, defaults are not filled in. */
export const CONFIG_SHAPE = z.toJSONSchema(configSchema, { io: "input" }) as Shape

/** The shape at a path of the file; undefined where the file can hold nothing. */
export function shapeAt(path: readonly PropertyKey[]): Shape | undefined {
  return path.reduce<Shape | undefined>(
    (shape, step) => (typeof step === "number" ? shape?.items : keyOf(shape, String(step))),
    CONFIG_SHAPE,
  )
}

function keyOf({ properties = {} }: Shape = {}, key: string): Shape | undefined {
  return Object.hasOwn(properties, key) ? properties[key] : undefined
}

/** The keys that stand below a path; none where it holds no section. */
export function knownKeysAt(path: readonly PropertyKey[]): string[] {
  return Object.keys(shapeAt(path)?.properties ?? {})
}

/** The names of all sections that know a key; the top level's is empty. */
export function sectionsThatKnow(key: string): string[] {
  return sectionsBelow(CONFIG_SHAPE, "")
    .filter(([shape]) => keyOf(shape, key) !== undefined)
    .map(([, name]) => name)
}

function sectionsBelow(shape: Shape, name: string): [shape: Shape, name: string][] {
  const { properties = {}, items } = shape
  if (items !== undefined) return sectionsBelow(items, `${name}[]`)
  const parts = Object.entries(properties).flatMap(([key, part]) =>
    sectionsBelow(part, name === "" ? key : `${name}.${key}`),
  )
  return [[shape, name], ...parts]
}

/** zod gives every integer the bounds of exact numbers, which say nothing. */
export function bound(value: number | undefined): number | undefined {
  return value !== undefined && Number.isSafeInteger(value) && Math.abs(value) < 2 ** 53 - 1
    ? value
    : undefined
}

/** By the ending of a key. */
const UNITS: readonly [ending: string, unit: string][] = [
  ["_secs", "seconds"],
  ["_ms", "milliseconds"],
  ["_mib", "MiB"],
]

/** What a key takes, as one would say it: `a whole number of seconds, 1 to 86400`. */
export function inWords(key: PropertyKey | undefined, shape: Shape): string {
  const { type, enum: options, items, properties } = shape
  if (options !== undefined) return `one of ${options.join(", ")}`
  if (properties !== undefined) return `a section of keys: ${Object.keys(properties).join(", ")}`
  if (items?.properties !== undefined) {
    return `a list of ${shape.minItems} to ${shape.maxItems} sections`
  }
  if (items !== undefined) return "a list of a command and its arguments, [command, argument]"
  if (type === "boolean") return "true or false"
  if (type === "integer") {
    const [, unit] = UNITS.find(([ending]) => String(key).endsWith(ending)) ?? []
    const of = unit === undefined ? "" : ` of ${unit}`
    return `a whole number${of}${range(shape.minimum, shape.maximum)}`
  }
  const { minLength = 0, maxLength } = shape
  if (maxLength !== undefined) return `text of ${minLength} to ${maxLength} characters`
  return minLength > 0 ? "text that is not empty" : "text"
}

function range(least: number | undefined, most: number | undefined): string {
  const from = bound(least)
  const to = bound(most)
  if (from === undefined) return ""
  return to === undefined ? ` from ${from}` : `, ${from} to ${to}`
}
