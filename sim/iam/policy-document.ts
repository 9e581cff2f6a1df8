/**
 * The shape of IAM policy documents (key policies, bucket policies, identity policies): what is
 * understood is parsed, what is not is refused, so that no condition is ever silently ignored.
 */
import { z } from "zod"

const POSITIVE_OPERATORS = ["StringEquals", "StringEqualsIgnoreCase", "StringLike", "Bool"] as const
const NEGATIVE_OPERATORS = [
  "StringNotEquals",
  "StringNotEqualsIgnoreCase",
  "StringNotLike",
] as const
const ARN_OPERATORS = ["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"] as const

/** Operators by the name they have before any `ForAnyValue:`, `ForAllValues:` or `IfExists`. */
export const OPERATORS = [...POSITIVE_OPERATORS, ...NEGATIVE_OPERATORS, ...ARN_OPERATORS] as const
export type Operator = (typeof OPERATORS)[number]

/** A condition operator taken apart. */
export interface ParsedOperator {
  operator: Operator | "Null"
  quantifier: "ForAnyValue" | "ForAllValues" | undefined
  ifExists: boolean
}

/** Takes a condition operator apart; undefined if it is none that the simulator knows. */
export function parseOperator(text: string): ParsedOperator | undefined {
  const match = /^(?:(ForAnyValue|ForAllValues):)?([A-Za-z]+?)(IfExists)?$/.exec(text)
  const name = match?.[2]
  const operator = name === "Null" ? name : OPERATORS.find((known) => known === name)
  if (match === null || operator === undefined) return undefined
  const quantifier = match[1] as ParsedOperator["quantifier"]
  const ifExists = match[3] !== undefined
  if (operator === "Null" && (ifExists || quantifier !== undefined)) return undefined
  return { operator, quantifier, ifExists }
}

const oneOrMore = z.union([z.string(), z.array(z.string()).min(1)])
const conditionValues = z.union([oneOrMore, z.boolean().transform(String)])

const conditionSchema = z.record(
  z.string().refine((name) => parseOperator(name) !== undefined, "not a known condition operator"),
  z.record(z.string().min(1), conditionValues),
)

const statementSchema = z
  .strictObject({
    Sid: z.string().optional(),
    Effect: z.enum(["Allow", "Deny"]),
    Principal: z.union([z.literal("*"), z.strictObject({ AWS: oneOrMore })]).optional(),
    Action: oneOrMore.optional(),
    NotAction: oneOrMore.optional(),
    Resource: oneOrMore.optional(),
    Condition: conditionSchema.optional(),
  })
  .refine(
    ({ Action, NotAction }) => (Action === undefined) !== (NotAction === undefined),
    "exactly one of Action and NotAction",
  )

export const policySchema = z.strictObject({
  Version: z.enum(["2008-10-17", "2012-10-17"]).optional(),
  Id: z.string().optional(),
  Statement: z.preprocess(
    (statement) => (Array.isArray(statement) ? statement : [statement]),
    z.array(statementSchema),
  ),
})

/** A policy document. In a resource-based one every statement names its principals. */
export type Policy = z.infer<typeof policySchema>
export type Statement = z.infer<typeof statementSchema>

/** The same for a policy attached to a resource, where `Principal` and `Resource` are mandatory. */
export const resourcePolicySchema = policySchema.refine(
  ({ Statement }) =>
    Statement.length > 0 &&
    Statement.every((s) => s.Principal !== undefined && s.Resource !== undefined),
  "every statement of a resource-based policy has a Principal and a Resource",
)
