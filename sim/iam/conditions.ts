/**
 * Condition blocks of IAM policies: whether the values that a request brings satisfy them. A key
 * that the request does not bring leaves a positive operator unmet and a negated one met.
 */
import { type ParsedOperator, parseOperator, type Statement } from "./policy-document.js"

/** The values a request brings, by condition key; names compare without regard to case. */
export type ConditionContext = ReadonlyMap<string, readonly string[]>

/** Builds a context; a key without values is left out, as when a request does not bring it. */
export function conditionContext(
  entries: Iterable<readonly [string, string | readonly string[] | undefined]>,
): ConditionContext {
  const context = new Map<string, readonly string[]>()
  for (const [key, value] of entries) {
    const values = value === undefined ? [] : typeof value === "string" ? [value] : value
    if (values.length > 0) context.set(key.toLowerCase(), values)
  }
  return context
}

/** True if every operator and every key of the block is satisfied; so is a missing block. */
export function conditionsHold(
  conditions: Statement["Condition"],
  context: ConditionContext,
): boolean {
  return Object.entries(conditions ?? {}).every(([name, tests]) => {
    const parsed = parseOperator(name)
    return (
      parsed !== undefined &&
      Object.entries(tests).every(([key, wanted]) =>
        operatorHolds(parsed, context.get(key.toLowerCase()), listOf(wanted)),
      )
    )
  })
}

/** `*` stands for any run of characters, `?` for one. */
export function wildcardMatches(pattern: string, text: string, ignoreCase = false): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".")
  return new RegExp(`^${source}$`, ignoreCase ? "is" : "s").test(text)
}

export function listOf(value: string | readonly string[]): readonly string[] {
  return typeof value === "string" ? [value] : value
}

function operatorHolds(
  { operator, quantifier, ifExists }: ParsedOperator,
  actual: readonly string[] | undefined,
  wanted: readonly string[],
): boolean {
  if (operator === "Null") return wanted.includes(String(actual === undefined))
  const negated = operator.includes("Not")
  if (actual === undefined) {
    if (quantifier !== undefined) return ifExists || quantifier === "ForAllValues"
    return ifExists || negated
  }
  const holds = (value: string) =>
    negated !== wanted.some((want) => valueMatches(operator, value, want))
  return quantifier === "ForAnyValue" ? actual.some(holds) : actual.every(holds)
}

function valueMatches(operator: string, actual: string, wanted: string): boolean {
  if (operator.startsWith("Arn") || operator.endsWith("Like")) {
    return wildcardMatches(wanted, actual)
  }
  if (operator.endsWith("IgnoreCase") || operator === "Bool") {
    return actual.toLowerCase() === wanted.toLowerCase()
  }
  return actual === wanted
}
