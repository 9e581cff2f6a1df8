/** Which keys a schema knows at a place, and which of them a misspelt one was meant to be. */
import { distance } from "fastest-levenshtein"
import { z } from "zod"

/** The keys of the object at `path` of a schema; none where there is no object. */
export function knownKeysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current = unwrap(schema)
  for (const step of path) {
    if (current instanceof z.ZodArray) current = unwrap(current.element as z.ZodType)
    else if (current instanceof z.ZodObject) {
      const next = (current.shape as Record<string, z.ZodType>)[String(step)]
      if (next === undefined) return []
      current = unwrap(next)
    } else return []
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : []
}

/**
 * The known key that a misspelt one was probably meant to be, or undefined: within a third of its
 * letters, with letters swapped (`lable`), or without its unit (`memory`).
 */
export function likelySpelling(key: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, edits: editsBetween(plain(key), plain(candidate)) }))
    .sort((a, b) => a.edits - b.edits)
  const best = ranked[0]
  if (best === undefined) return undefined
  return best.edits <= Math.max(1, Math.floor(best.candidate.length / 3))
    ? best.candidate
    : undefined
}

function editsBetween(key: string, candidate: string): number {
  const close = sorted(key) === sorted(candidate) || candidate.startsWith(`${key}_`)
  return Math.min(distance(key, candidate), close ? 1 : Number.POSITIVE_INFINITY)
}

function plain(text: string): string {
  return text.toLowerCase().replaceAll("-", "_")
}

function sorted(text: string): string {
  return [...text].sort().join("")
}

/** Takes defaults and optionals off a schema. */
function unwrap(schema: z.ZodType): z.ZodType {
  let current = schema
  while (
    current instanceof z.ZodDefault ||
    current instanceof z.ZodPrefault ||
    current instanceof z.ZodOptional
  ) {
    current = current.unwrap() as z.ZodType
  }
  return current
}
