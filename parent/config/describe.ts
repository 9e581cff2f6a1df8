/** The keys of the configuration as the README lists them, taken from the schema. */
import { bound, CONFIG_SHAPE, type Shape } from "./shape.js"

/** One key: `tokens[].source.S3.uri`, say. */
export interface ConfigKey {
  name: string
  type: string
  required: boolean
  /** The section that need not be there, and that the key is required in if it is. */
  within: string | undefined
  /** As one would write it in the file; undefined where there is none. */
  default: string | undefined
  meaning: string
}

/** Every key that takes a value, and every other name of a section, in the order of the schema. */
export function describeConfig(): ConfigKey[] {
  return keysOf(CONFIG_SHAPE, "", undefined)
}

/** The keys as a Markdown table. */
export function configTable(): string {
  const rows = describeConfig().map((key) =>
    row(
      `\`${key.name}\``,
      key.type,
      requirement(key),
      key.default === undefined ? "" : `\`${key.default}\``,
      key.meaning,
    ),
  )
  const head = row("name", "type", "required", "default", "meaning")
  return `${[head, row("---", "---", "---", "---", "---"), ...rows].join("\n")}\n`
}

function requirement({ required, within }: ConfigKey): string {
  if (!required) return "no"
  return within === undefined ? "yes" : `with \`${within}\``
}

function row(...cells: string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`
}

function keysOf(shape: Shape, prefix: string, within: string | undefined): ConfigKey[] {
  const { properties = {}, required = [] } = shape
  return Object.entries(properties).flatMap(([key, value]) => {
    const name = prefix === "" ? key : `${prefix}.${key}`
    const there = required.includes(key) || value.default !== undefined
    // A section that is described as a whole says nothing new key by key.
    if (value.properties !== undefined && value.description === undefined) {
      return keysOf(value, name, there ? within : key)
    }
    if (value.items?.properties !== undefined) return keysOf(value.items, `${name}[]`, within)
    return {
      name,
      type: typeOf(value),
      required: required.includes(key),
      within,
      default: value.default === undefined ? undefined : written(value.default),
      meaning: value.description ?? "",
    }
  })
}

function typeOf({ type = "", properties, enum: options, items, minimum, maximum }: Shape): string {
  if (properties !== undefined) return "section"
  if (options !== undefined) return options.map((option) => `\`${option}\``).join(", ")
  if (items !== undefined) return `list of ${items.type}s`
  const least = bound(minimum)
  const most = bound(maximum)
  if (least !== undefined && most !== undefined) return `${type}, ${least} to ${most}`
  return least === undefined ? type : `${type} from ${least}`
}

function written(value: unknown): string {
  return Array.isArray(value) ? `[${value.join(", ")}]` : String(value)
}
