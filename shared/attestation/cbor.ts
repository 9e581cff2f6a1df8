/**
 * Reads the CBOR that the Nitro Secure Module writes: attestation documents and device responses.
 *
 * Wider than the wire protocol's subset (`../cbor.ts`) where real documents are: integer map keys
 * next to text ones, and maps and arrays of indefinite length (documents of 2026 have them). Just
 * as strict in the rest. It builds values itself rather than checking and then calling a library:
 * what was checked and what is used can't differ.
 */
import { CodedError } from "../errors.js"

/** What such an item can hold. Integers fit 53 bits. */
export type NsmCborValue =
  | number
  | string
  | boolean
  | null
  | Uint8Array
  | readonly NsmCborValue[]
  | NsmCborMap

/** A map; no key occurs twice. */
export type NsmCborMap = ReadonlyMap<number | string, NsmCborValue>

/** Levels of nesting; a response of the NSM has three, an attestation document two. */
export const MAX_NSM_CBOR_DEPTH = 8

const BREAK = 0xff
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * Decodes exactly one item: integers, byte and text strings of definite length, arrays, maps with
 * distinct integer or text keys, `false`, `true`, `null`. No tags, no floating point, at most
 * {@link MAX_NSM_CBOR_DEPTH} levels. Byte strings are copies.
 *
 * @throws CodedError `malformed-cbor` for anything else or for bytes left over. What an item
 *   announces never makes it allocate: elements are read one by one and each takes a byte at least.
 * @see RFC 8949
 */
export function decodeNsmCbor(bytes: Uint8Array): NsmCborValue {
  const reader = new Reader(bytes)
  const value = reader.item(0)
  reader.end()
  return value
}

interface Head {
  major: number
  /** The argument: a number, a length or a simple value; null for an indefinite length. */
  value: number | null
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  item(depth: number): NsmCborValue {
    const head = this.#head()
    switch (head.major) {
      case 0:
        return definite(head)
      case 1:
        return negative(definite(head))
      case 2:
        return new Uint8Array(this.#take(definite(head))) // a copy; a Buffer's slice() is none
      case 3:
        return text(this.#take(definite(head)))
      case 4:
        return this.#array(head, deeper(depth))
      case 5:
        return this.#map(head, deeper(depth))
      case 7:
        return simple(head)
      default:
        throw malformed("a tag")
    }
  }

  end(): void {
    const left = this.#bytes.length - this.#at
    if (left > 0) throw malformed(`${left} bytes after the item`)
  }

  #array(head: Head, depth: number): NsmCborValue[] {
    const values: NsmCborValue[] = []
    while (this.#more(head.value, values.length)) values.push(this.item(depth))
    return values
  }

  #map(head: Head, depth: number): NsmCborMap {
    const map = new Map<number | string, NsmCborValue>()
    while (this.#more(head.value, map.size)) {
      const key = this.item(depth)
      if (typeof key !== "number" && typeof key !== "string") {
        throw malformed("a map key that is neither an integer nor a text")
      }
      if (map.has(key)) throw malformed("a map key given twice")
      map.set(key, this.item(depth))
    }
    return map
  }

  /** Whether a container has another element; takes the break of an indefinite one. */
  #more(length: number | null, count: number): boolean {
    if (length !== null) return count < length
    if (this.#bytes[this.#at] !== BREAK) return true
    this.#at += 1
    return false
  }

  #head(): Head {
    const [initial = 0] = this.#take(1)
    const major = initial >> 5
    const info = initial & 0x1f
    if (info < 24) return { major, value: info }
    if (info === 31 && (major === 4 || major === 5)) return { major, value: null }
    const size = [1, 2, 4, 8][info - 24]
    // Major type 7 with an argument is floating point, or a simple value that nothing here uses.
    if (size === undefined || major === 7) throw malformed(`the initial byte ${initial}`)
    let value = 0
    for (const byte of this.#take(size)) value = value * 256 + byte
    if (!Number.isSafeInteger(value)) throw malformed("a number beyond 53 bits")
    return { major, value }
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length
    if (end > this.#bytes.length) throw malformed("the item is cut short")
    const span = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return span
  }
}

function definite(head: Head): number {
  if (head.value === null) throw malformed("an indefinite length")
  return head.value
}

function negative(value: number): number {
  const number = -1 - value
  if (!Number.isSafeInteger(number)) throw malformed("a number beyond 53 bits")
  return number
}

function text(span: Uint8Array): string {
  try {
    return utf8.decode(span)
  } catch (cause) {
    throw malformed("a text that is not UTF-8", cause)
  }
}

function simple(head: Head): boolean | null {
  switch (head.value) {
    case 20:
      return false
    case 21:
      return true
    case 22:
      return null
    default:
      throw malformed("a simple value other than false, true and null")
  }
}

function deeper(depth: number): number {
  if (depth >= MAX_NSM_CBOR_DEPTH) {
    throw malformed(`more than ${MAX_NSM_CBOR_DEPTH} levels of nesting`)
  }
  return depth + 1
}

function malformed(reason: string, cause?: unknown): CodedError<"malformed-cbor"> {
  return new CodedError("malformed-cbor", `malformed CBOR: ${reason}`, { cause })
}
