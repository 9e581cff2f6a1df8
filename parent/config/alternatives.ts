/** Refusals that concern which of several keys are given: "exactly one of", and old names of keys. */
import type { z } from "zod"

/** Marks an issue whose place is the key at the end of its path, not that key's value. */
export const AT_KEY = { atKey: true }

/** The issue's place is its last key, see {@link AT_KEY}. */
export function isAtKey(issue: z.core.$ZodIssue): boolean {
  return issue.code === "custom" && issue.params?.atKey === true
}

/**
 * The one key of a section that is given; `names` are all that it may be.
 *
 * @returns undefined after an issue that says how many there are
 */
export function exactlyOne<Name extends string>(
  section: Readonly<Partial<Record<Name, unknown>>>,
  names: readonly Name[],
  context: z.RefinementCtx,
): Name | undefined {
  const given = names.filter((name) => section[name] !== undefined)
  const [first, second] = given
  if (first !== undefined && second === undefined) return first
  const expected = `exactly one of ${names.join(", ")} is expected`
  if (second !== undefined) {
    context.addIssue({
      code: "custom",
      path: [second],
      params: AT_KEY,
      message: `${expected}, given are ${given.join(" and ")}`,
    })
    // A misspelt one is told of already.
  } else if (!context.issues.some(({ code }) => code === "unrecognized_keys")) {
    context.addIssue({ code: "custom", message: `${expected}, none is given` })
  }
  return undefined
}

/**
 * The value of a key that has another name; both must not be given.
 *
 * @returns undefined where neither is, or after an issue at the other name
 */
export function byEitherName<Value>(
  key: { name: string; value: Value | undefined },
  alias: { name: string; value: Value | undefined },
  context: z.RefinementCtx,
): Value | undefined {
  if (key.value !== undefined && alias.value !== undefined) {
    context.addIssue({
      code: "custom",
      path: [alias.name],
      params: AT_KEY,
      message: `is another name of ${key.name}, which is given, too; expected one of them`,
    })
  }
  return key.value ?? alias.value
}
