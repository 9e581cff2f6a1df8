/** What a YAML document comes to before it is checked. */
import { type Document, isAlias, isMap, isScalar, type Pair, Scalar, visit } from "yaml"

/**
 * Keys that take text and are often written as numbers: they are taken as they are spelt, so that
 * `pin: 0123` has four characters. No key of these names takes a number anywhere in the file.
 */
const TEXT_KEYS: ReadonlySet<unknown> = new Set(["label", "pin", "id", "user", "group"])

/** Sections that may be left with nothing in them but comments, which YAML reads as null. */
const SECTIONS: ReadonlySet<unknown> = new Set(["enclave", "options", "aws", "log"])

/**
 * The document as plain values.
 *
 * @throws the parser's error where an alias names no anchor, or makes the file grow without bounds
 */
export function plainValue(document: Document): unknown {
  visit(document, {
    Pair(_, pair) {
      if (isScalar(pair.key) && TEXT_KEYS.has(pair.key.value)) takeAsSpelt(pair, document)
    },
  })
  const root = document.contents
  if (isMap(root)) root.items = root.items.filter((pair) => !isEmptySection(pair))
  return document.toJS()
}

function takeAsSpelt(pair: Pair, document: Document): void {
  const { value } = pair
  const scalar = isAlias(value) ? value.resolve(document) : value
  if (!isScalar(scalar) || scalar.source === undefined) return
  if (typeof scalar.value !== "number" && typeof scalar.value !== "bigint") return
  if (!isAlias(value)) {
    scalar.value = scalar.source
    return
  }
  // The anchor's own value is another key's.
  const text = new Scalar(scalar.source)
  if (value.range) text.range = value.range
  pair.value = text
}

function isEmptySection({ key, value }: Pair): boolean {
  return (
    isScalar(key) &&
    SECTIONS.has(key.value) &&
    (value === null || (isScalar(value) && value.value === null))
  )
}
