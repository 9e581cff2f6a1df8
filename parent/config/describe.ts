/** The keys of the configuration as the README lists them, taken from the schema. */
import { z } from "zod"
import { configSchema } from "./schema.js"

/** One key: `tokens[].source.S3.uri`, say. */
export interface ConfigKey {
  name: string
  type: string
  required: boolean
  /** As one would write it in the file; undefined where there is none. */
  default: string | undefined
  meaning: string
}

/** The parts of a JSON schema that the configuration's schema comes to. */
interface Shape {
  type?: string
  description?: string
  default?: unknown
  enum?: readonly unknown[]
  minimum?: number
  maximum?: number
  properties?: Readonly<Record<string, Shape>>
  required?: readonly string[]
  items?: Shape
}

/** Every key that takes a value, in the order of the schema. */
export function describeConfig(): ConfigKey[] {
  return keysOf("", z.toJSONSchema(configSchema, { io: "input" }) as Shape)
}

/** The keys as a Markdown table. */
export function configTable(): string {
  const rows = describeConfig().map(({ name, type, required, default: value, meaning }) =>
    row(
      `\`${name}\``,
      type,
      required ? "yes" : "no",
      value === undefined ? "" : `\`${value}\``,
      meaning,
    ),
  )
  const head = row("name", "type", "required", "default", "meaning")
  return `${[head, row("---", "---", "---", "---", "---"), ...rows].join("\n")}\n`
}

function row(...cells: string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`
}

function keysOf(prefix: string, { properties = {}, required = [] }: Shape): ConfigKey[] {
  return Object.entries(properties).flatMap(([key, shape]) => {
    const name = prefix === "" ? key : `${prefix}.${key}`
    if (shape.properties !== undefined) return keysOf(name, shape)
    if (shape.items?.properties !== undefined) return keysOf(`${name}[]`, shape.items)
    return {
      name,
      type: typeOf(shape),
      required: required.includes(key),
      default: shape.default === undefined ? undefined : written(shape.default),
      meaning: shape.description ?? "",
    }
  })
}

function typeOf({ type = "", enum: options, items, minimum, maximum }: Shape): string {
  if (options !== undefined) return options.map((option) => `\`${option}\``).join(", ")
  if (items !== undefined) return `list of ${items.type}s`
  const least = bound(minimum)
  const most = bound(maximum)
  if (least !== undefined && most !== undefined) return `${type}, ${least} to ${most}`
  return least === undefined ? type : `${type} from ${least}`
}

/** zod gives every integer the bounds of exact numbers, which say nothing. */
function bound(value: number | undefined): number | undefined {
  return value !== undefined && Number.isSafeInteger(value) && Math.abs(value) < 2 ** 53 - 1
    ? value
    : undefined
}

function written(value: unknown): string {
  return Array.isArray(value) ? `[${value.join(", ")}]` : String(value)
}
