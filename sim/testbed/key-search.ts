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

/** Searches every regular file below a directory. */
export async function searchFiles(dir: string, needles: readonly Needle[]): Promise<SearchResult> {
  const result: SearchResult = { findings: [], bytes: 0 }
  for (const entry of await readdir(dir, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const content = await readFile(path)
    result.bytes += content.length
    result.findings.push(...find(content, needles, path))
  }
  return result
}

/** Searches all readable memory of a process, as root. */
export function searchMemory(pid: number, needles: readonly Needle[]): SearchResult {
  const result: SearchResult = { findings: [], bytes: 0 }
  const overlap = Math.max(...needles.map(({ bytes }) => bytes.length)) - 1
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
        result.findings.push(...find(chunk.subarray(0, length), needles, where))
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

function find(haystack: Buffer, needles: readonly Needle[], where: string): Finding[] {
  return needles
    .filter(({ bytes }) => haystack.includes(bytes))
    .map(({ name }) => ({ where, what: name }))
}
