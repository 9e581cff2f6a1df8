/** Words, times and columns of what the status prints: safe for a terminal, whatever they hold. */
import { styleText } from "node:util"
import stringWidth from "string-width"

export interface TextOptions {
  /** Columns to keep to; Infinity for a reader that is no terminal. */
  width: number
  colour: boolean
}

export type Colour = "green" | "yellow" | "red" | "bold" | "dim"

export function paint(text: string, colour: Colour, options: TextOptions): string {
  // The stream is looked at elsewhere, and may be another one.
  return options.colour ? styleText(colour, text, { validateStream: false }) : text
}

/** Names in certificates and answers of servers are others' words: no escape sequence gets out. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, "\u{fffd}")
}

const UNITS = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
] as const

/** A length of time in its largest unit, the days and hours from two on: `60 d`, `46 h`, `7 min`. */
export function span(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1_000)
  for (const [unit, size] of UNITS) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`
  }
  return `${seconds} s`
}

export function ago(at: number, now: number): string {
  return at > now + 1_000 ? `in ${span(at - now)}` : `${span(now - at)} ago`
}

export function ahead(at: number, now: number): string {
  return at <= now ? "now" : `in ${span(at - now)}`
}

/** `2026-04-30 12:00 UTC` */
export function moment(at: number): string {
  return `${new Date(at).toISOString().slice(0, 16).replace("T", " ")} UTC`
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`
}

export function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

/** The text cut or filled to so many columns. */
export function column(text: string, width: number): string {
  const cut = cutTo(text, width)
  return cut + " ".repeat(Math.max(0, width - stringWidth(cut)))
}

export function cutTo(text: string, width: number): string {
  if (stringWidth(text) <= width) return text
  let cut = ""
  for (const character of text) {
    if (stringWidth(cut + character) > width - 1) break
    cut += character
  }
  return `${cut}\u2026`
}

/** Lines of at most `width` columns; a word that is longer is broken. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ""
  for (const word of text.split(" ")) {
    const joined = line === "" ? word : `${line} ${word}`
    if (stringWidth(joined) <= width) {
      line = joined
      continue
    }
    if (line !== "") lines.push(line)
    line = word
    while (stringWidth(line) > width) {
      const head = headOf(line, width)
      lines.push(head)
      line = line.slice(head.length)
    }
  }
  return [...lines, line]
}

function headOf(word: string, width: number): string {
  let head = ""
  for (const character of word) {
    if (head !== "" && stringWidth(head + character) > width) break
    head += character
  }
  return head
}

/** A name in its own column, and a text that stays in the one beside it. */
export function field(name: string, text: string, indent: number, options: TextOptions): string[] {
  const margin = " ".repeat(indent)
  const nameWidth = 13
  const [first = "", ...rest] = wrap(text, Math.max(20, options.width - indent - nameWidth))
  const label = paint(column(name, nameWidth), "dim", options)
  return [
    `${margin}${label}${first}`,
    ...rest.map((line) => `${margin}${" ".repeat(nameWidth)}${line}`),
  ]
}

/** An error with its advice, for a status and a screen. */
export function errorLines(
  { code, reason, advice = "" }: { code: string; reason: string; advice?: string },
  indent: number,
  options: TextOptions,
): string[] {
  const plain = { ...options, colour: false }
  const told = field("error", printable(`${code}: ${reason}`), indent, plain)
  return [
    ...told.map((line) => paint(line, "red", options)),
    ...(advice === "" ? [] : field("what to do", printable(advice), indent, options)),
  ]
}
