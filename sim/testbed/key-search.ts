/** Looks for a private key in files and in the memory of processes. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { systemErrorCode } from "../../shared/errors.js"
import type { Needle } from "./key-material.js"

export interface Finding {
  /** A file, or a process with the address range. */
  where: string
  what: string
}

export interface SearchResult {
  findings: Finding[]
  /** Bytes looked through: a search of nothing proves nothing. */
  bytes: number
}

const CHUNK_BYTES = 1024 * 1024

/** Searches every regular file below a directory, or those whose path is wanted. */
export async function searchFiles(
  dir: string,
  needles: readonly Needle[],
  isWanted: (path: string) => boolean = () => true,
): Promise<SearchResult> {
  const finder = new NeedleFinder(needles)
  const result: SearchResult = { findings: [], bytes: 0 }
  for (const entry of await readdir(dir, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    if (!isWanted(path)) continue
    const content = await readFile(path)
    result.bytes += content.length
    result.findings.push(...finder.find(content).map((what) => ({ where: path, what })))
  }
  return result
}

/** Searches all readable memory of a process, as root. */
export function searchMemory(pid: number, needles: readonly Needle[]): SearchResult {
  const result: SearchResult = { findings: [], bytes: 0 }
  const finder = new NeedleFinder(needles)
  const overlap = finder.longest - 1
  const memory = openSync(`/proc/${pid}/mem`, "r")
  const chunk = Buffer.alloc(CHUNK_BYTES + overlap)
  const zeros = Buffer.alloc(chunk.length)
  try {
    for (const region of readableRegions(pid)) {
      for (let at = region.start; at < region.end; at += CHUNK_BYTES) {
        const length = readAt(memory, chunk, at, Math.min(chunk.length, region.end - at))
        result.bytes += Math.min(length, CHUNK_BYTES)
        // Stacks and heaps are mostly pages never touched.
        if (chunk.subarray(0, length).equals(zeros.subarray(0, length))) continue
        const where = `process ${pid}, ${region.name} at 0x${at.toString(16)}`
        const found = finder.find(chunk.subarray(0, length))
        result.findings.push(...found.map((what) => ({ where, what })))
      }
    }
  } finally {
    closeSync(memory)
    chunk.fill(0)
  }
  return result
}

interface Region {
  start: number
  end: number
  name: string
}

function readableRegions(pid: number): Region[] {
  return readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, start, end, name = ""] =
        /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+\s*(.*)$/.exec(line) ?? []
      if (start === undefined || end === undefined) return []
      // Kernel pages, which cannot be read through /proc.
      if (name === "[vvar]" || name === "[vsyscall]" || name.startsWith("[vvar_")) return []
      return [
        {
          start: Number.parseInt(start, 16),
          end: Number.parseInt(end, 16),
          name: name || "anonymous",
        },
      ]
    })
}

/** Bytes read; 0 where the mapping is gone by now or has no pages. */
function readAt(memory: number, into: Buffer, at: number, length: number): number {
  try {
    return readSync(memory, into, 0, length, at)
  } catch (error) {
    if (["EIO", "EFAULT"].includes(systemErrorCode(error) ?? "")) return 0
    throw error
  }
}

/** Finds any of many needles in one pass: by their first two bytes, then in full. */
class NeedleFinder {
  readonly longest: number
  /** Non-zero where a needle begins with the two bytes that the index is made of. */
  readonly #starts = new Uint8Array(0x1_0000)
  readonly #byStart = new Map<number, Needle[]>()

  constructor(needles: readonly Needle[]) {
    this.longest = Math.max(...needles.map(({ bytes }) => bytes.length))
    for (const needle of needles) {
      const start = needle.bytes.readUInt16BE(0)
      this.#starts[start] = 1
      this.#byStart.set(start, [...(this.#byStart.get(start) ?? []), needle])
    }
  }

  /** Names of the needles that are there, each once. */
  find(haystack: Buffer): string[] {
    const found = new Set<string>()
    const starts = this.#starts
    let start = haystack[0] ?? 0
    for (let at = 1; at < haystack.length; at++) {
      start = ((start << 8) | (haystack[at] ?? 0)) & 0xffff
      if (starts[start] === 0) continue
      for (const { name, bytes } of this.#byStart.get(start) ?? []) {
        if (haystack.subarray(at - 1, at - 1 + bytes.length).equals(bytes)) {
          found.add(name)
        }
      }
    }
    return [...found]
  }
}
