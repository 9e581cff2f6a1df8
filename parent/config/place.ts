/** Names of places: `<file>:<line>:<column>` for an editor, `tokens[0].source` for a reader. */
import type { Document, LineCounter } from "yaml"
import { locate, type Position } from "./position.js"

/** The place of the value at a path of the file, or of its key `key`. */
export type At = (path: readonly PropertyKey[], key?: string) => string

/** Names places of a parsed file. */
export function placesOf(document: Document, lines: LineCounter, file: string): At {
  return (path, key) => place(file, locate(document, lines, path, key))
}

export function place(file: string, at: Position | undefined): string {
  return at === undefined ? file : `${file}:${at.line}:${at.column}`
}

/** Compares sentences or places of one file by where they stand in it. */
export function byPlace(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true })
}

/** `tokens[0].source`, as the README writes it but for the index. */
export function nameOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, step) => {
    if (typeof step === "number") return `${name}[${step}]`
    return name === "" ? String(step) : `${name}.${String(step)}`
  }, "")
}
