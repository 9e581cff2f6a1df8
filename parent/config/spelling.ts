/** Which key a misspelt one was meant to be. */
import { distance } from "fastest-levenshtein"

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
