/** Findings for people: 80 columns unless the terminal is narrower, colour only where it is wanted. */
import type { Finding, Level } from "./finding.js"
import { countLevels } from "./run.js"

export interface RenderOptions {
  /** Columns of the terminal. */
  width: number
  colour: boolean
}

const MAX_WIDTH = 80
const MIN_WIDTH = 40
/** SGR colours, ECMA-48: green, yellow, red, cyan. */
const COLOURS = { ok: 32, warning: 33, problem: 31, unknown: 36 } as const
/** `problem` and a space. */
const LEVEL_WIDTH = 8
const INDENT = " ".repeat(LEVEL_WIDTH)

/** One block a finding: level, check and title, and below it what was seen and what to do. */
export function renderFindings(findings: readonly Finding[], options: RenderOptions): string {
  const width = Math.max(MIN_WIDTH, Math.min(options.width, MAX_WIDTH))
  const blocks = findings.map((finding) => renderFinding(finding, width, options.colour))
  return `${[...blocks, "", summary(findings)].join("\n")}\n`
}

function renderFinding(finding: Finding, width: number, colour: boolean): string {
  const { level, code, check, title, detail, advice } = finding
  const head = wrap(`${check}: ${title}${code === "ok" ? "" : ` [${code}]`}`, width - LEVEL_WIDTH)
  const lines = [
    ...head,
    ...wrap(detail, width - LEVEL_WIDTH),
    ...wrap(advice, width - LEVEL_WIDTH - 3).map(
      (line, index) => (index === 0 ? "-> " : "   ") + line,
    ),
  ]
  const label = level.padEnd(LEVEL_WIDTH)
  const styled = colour ? paint(level, label) : label
  return lines.map((line, index) => (index === 0 ? styled : INDENT) + line).join("\n")
}

function paint(level: Level, text: string): string {
  return `\u001b[${COLOURS[level]}m${text}\u001b[0m`
}

function summary(findings: readonly Finding[]): string {
  const { ok, warning, problem, unknown } = countLevels(findings)
  return [
    count(problem, "problem"),
    count(warning, "warning"),
    `${unknown} unknown`,
    `${ok} ok`,
  ].join(", ")
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`
}

/** Lines of at most `width` characters; a longer word is cut. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const paragraph of text.split("\n").filter(Boolean)) {
    let line = ""
    for (const word of paragraph.split(" ").flatMap((word) => pieces(word, width))) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line)
        line = word
      } else line = line === "" ? word : `${line} ${word}`
    }
    lines.push(line)
  }
  return lines
}

function pieces(word: string, width: number): string[] {
  if (word.length <= width) return [word]
  return word.match(new RegExp(`.{1,${width}}`, "gu")) ?? []
}
