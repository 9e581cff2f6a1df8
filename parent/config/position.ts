/** Where in a YAML file a value or a key stands. */
import { type Document, isMap, isNode, isScalar, type LineCounter, type Node } from "yaml"

/** Both from 1. */
export interface Position {
  line: number
  column: number
}

/**
 * The place of the value at `path`, or of its key `key`. Where the path is not in the file (a key is
 * missing), the place of what would hold it.
 */
export function locate(
  document: Document,
  lines: LineCounter,
  path: readonly PropertyKey[],
  key?: string,
): Position | undefined {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (!isNode(node)) continue
    const start = (length === path.length ? keyNode(node, key) : node)?.range?.[0]
    return start === undefined ? undefined : position(lines, start)
  }
  return undefined
}

/** The place of an offset. */
export function position(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset)
  return { line, column: col }
}

function keyNode(node: Node, key: string | undefined): Node | undefined {
  if (key === undefined || !isMap(node)) return node
  const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key)
  return isNode(pair?.key) ? pair.key : node
}
