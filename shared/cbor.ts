/**
 * The strict CBOR subset of PROTOCOL.md. cbor-x does the coding; before it sees a byte, the whole
 * item is walked here, so that announced lengths, depth, types and keys are known to be sound.
 * (cbor-x alone accepts announced array lengths beyond its input, nests as deep as the stack and
 * renames a `__proto__` key.)
 */
import { Encoder, type Options } from "cbor-x"
import { CodedError } from "./errors.js"

export type CborErrorCode = "malformed-cbor"

/** What the subset can hold. */
export type CborValue =
  | number
  | bigint
  | string
  | boolean
  | null
  | Uint8Array
  | readonly CborValue[]
  | { readonly [key: string]: CborValue }

/** Levels of nesting, PROTOCOL.md. */
export const MAX_CBOR_DEPTH = 8
/** Keys that would reach into Object.prototype or a constructor. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"])

/** `int64AsNumber` is missing from cbor-x's types; without it 64-bit heads decode as bigint. */
const OPTIONS: Options & { int64AsNumber: boolean } = {
  useRecords: false,
  mapsAsObjects: true,
  tagUint8Array: false,
  variableMapSize: true,
  int64AsNumber: true,
}
const coder = new Encoder(OPTIONS)
/** Keeps a byte-order mark, as cbor-x does: a key with one is another key. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Encodes a value of the subset, definite lengths, map keys in insertion order. */
export function encodeCbor(value: CborValue): Buffer {
  return coder.encode(value)
}

/**
 * An integer of up to 53 bits as {@link encodeCbor} takes it: cbor-x writes numbers beyond 32 bits
 * as floating point, which the subset does not have, but a bigint as an integer.
 */
export function cborInteger(value: number): number | bigint {
  return value >= -0x8000_0000 && value <= 0xffff_ffff ? value : BigInt(value)
}

/**
 * Decodes exactly one item of the subset. Byte strings are views of `bytes`: copy one that outlives
 * them.
 *
 * @throws CodedError `malformed-cbor` for anything outside the subset or left over behind the item.
 */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const end = checkItem(bytes, 0, 0)
  if (end !== bytes.length) throw malformed(`${bytes.length - end} bytes after the item`)
  return coder.decode(bytes) as CborValue
}

/** Walks one item from `at` on and returns where it ends. */
function checkItem(bytes: Uint8Array, at: number, depth: number): number {
  const head = readHead(bytes, at)
  switch (head.major) {
    case 0:
    case 1:
      return head.end
    case 2:
      return checkSpan(bytes, head)
    case 3:
      checkText(bytes, head)
      return head.end + head.value
    case 4:
      return checkArray(bytes, head, depth + 1)
    case 5:
      return checkMap(bytes, head, depth + 1)
    case 7:
      if (head.end === at + 1 && head.value >= 20 && head.value <= 22) return head.end
      throw malformed("a simple or floating-point value other than false, true and null")
    default:
      throw malformed("a tag")
  }
}

interface Head {
  major: number
  value: number
  end: number
}

function readHead(bytes: Uint8Array, at: number): Head {
  const initial = bytes[at]
  if (initial === undefined) throw malformed("the item is cut short")
  const major = initial >> 5
  const info = initial & 0x1f
  if (info < 24) return { major, value: info, end: at + 1 }
  const size = [1, 2, 4, 8][info - 24]
  if (size === undefined) throw malformed("an indefinite length or a reserved head")
  if (at + 1 + size > bytes.length) throw malformed("the item is cut short")
  let value = 0
  for (let i = at + 1; i <= at + size; i++) value = value * 256 + (bytes[i] ?? 0)
  if (!Number.isSafeInteger(value)) throw malformed("a number beyond 53 bits")
  return { major, value, end: at + 1 + size }
}

function checkSpan(bytes: Uint8Array, head: Head): number {
  if (head.value > bytes.length - head.end) throw malformed("a length beyond the end")
  return head.end + head.value
}

function checkText(bytes: Uint8Array, head: Head): string {
  const end = checkSpan(bytes, head)
  try {
    return utf8.decode(bytes.subarray(head.end, end))
  } catch (cause) {
    throw malformed("a text that is not UTF-8", cause)
  }
}

function checkArray(bytes: Uint8Array, head: Head, depth: number): number {
  checkDepth(depth)
  // Each element takes a byte at least: an announced length can't make us work for nothing.
  if (head.value > bytes.length - head.end) throw malformed("a length beyond the end")
  let at = head.end
  for (let i = 0; i < head.value; i++) at = checkItem(bytes, at, depth)
  return at
}

function checkMap(bytes: Uint8Array, head: Head, depth: number): number {
  checkDepth(depth)
  if (head.value * 2 > bytes.length - head.end) throw malformed("a length beyond the end")
  const keys = new Set<string>()
  let at = head.end
  for (let i = 0; i < head.value; i++) {
    const keyHead = readHead(bytes, at)
    if (keyHead.major !== 3) throw malformed("a map key that is not a text")
    const key = checkText(bytes, keyHead)
    if (FORBIDDEN_KEYS.has(key)) throw malformed("a reserved map key")
    if (keys.has(key)) throw malformed("a map key given twice")
    keys.add(key)
    at = checkItem(bytes, keyHead.end + keyHead.value, depth)
  }
  return at
}

function checkDepth(depth: number): void {
  if (depth > MAX_CBOR_DEPTH) throw malformed(`more than ${MAX_CBOR_DEPTH} levels of nesting`)
}

function malformed(reason: string, cause?: unknown): CodedError<CborErrorCode> {
  return new CodedError("malformed-cbor", `malformed CBOR: ${reason}`, { cause })
}
