/**
 * What a KMS key's policy says of `kms:Decrypt` under attestation: the statements that release, the
 * measurements that they ask for, and those that need no attestation at all. It reads as much of the
 * policy language as key policies for enclaves use, and says where it read no further.
 */
import { z } from "zod"

const oneOrMore = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === "string" ? [value] : value))
const conditionSchema = z.record(z.string(), z.record(z.string(), z.unknown()))
const statementSchema = z.looseObject({
  Sid: z.string().optional(),
  Effect: z.enum(["Allow", "Deny"]),
  Principal: z.unknown(),
  Action: oneOrMore.optional(),
  NotAction: oneOrMore.optional(),
  Condition: conditionSchema.optional(),
})
const policySchema = z.looseObject({
  Statement: z.preprocess(
    (statement) => (Array.isArray(statement) ? statement : [statement]),
    z.array(statementSchema),
  ),
})
type Statement = z.output<typeof statementSchema>

/** A PCR that a statement asks for. */
export interface RequiredPcr {
  index: string
  /** Any of these, hex; `*` and `?` are wildcards where `like` holds. */
  values: readonly string[]
  like: boolean
  ignoreCase: boolean
}

export interface ReleasingStatement {
  sid: string
  /** As the policy has them, for a person to read. */
  principals: string
  /** All must hold; none: it asks for no attestation. */
  pcrs: readonly RequiredPcr[]
  /** It has conditions besides, which are not evaluated. */
  others: boolean
}

export interface ReleasePolicy {
  releasing: readonly ReleasingStatement[]
  /** Statements that deny kms:Decrypt, but for want of attestation; they are not evaluated. */
  denying: readonly string[]
}

const OPERATOR = /^(?:ForAnyValue:)?(StringEquals|StringEqualsIgnoreCase|StringLike)$/
const PREFIX = "kms:recipientattestation:"

/**
 * Reads a key policy.
 *
 * @throws SyntaxError, ZodError if it is none
 */
export function readReleasePolicy(json: string): ReleasePolicy {
  const { Statement } = policySchema.parse(JSON.parse(json))
  const named = Statement.map((statement, index) => ({
    statement,
    sid: statement.Sid ?? `statement ${index + 1}`,
  })).filter(({ statement }) => coversDecrypt(statement))
  return {
    releasing: named
      .filter(({ statement }) => statement.Effect === "Allow")
      .map(({ statement, sid }) => ({
        sid,
        principals: principalsOf(statement),
        ...conditionsOf(statement),
      })),
    denying: named
      .filter(({ statement }) => statement.Effect === "Deny" && !deniesUnattested(statement))
      .map(({ sid }) => sid),
  }
}

/** Whether an enclave with these PCRs (index to hex) has what the statement asks for. */
export function satisfies(
  pcrs: Readonly<Record<string, string>>,
  { pcrs: required }: ReleasingStatement,
): boolean {
  return required.every(({ index, values, like, ignoreCase }) => {
    const measured = pcrs[index]
    if (measured === undefined) return false
    return values.some((value) => {
      if (like) return wildcard(value).test(measured)
      return ignoreCase ? value.toLowerCase() === measured.toLowerCase() : value === measured
    })
  })
}

function coversDecrypt({ Action, NotAction }: Statement): boolean {
  const matches = (pattern: string) => wildcard(pattern.toLowerCase()).test("kms:decrypt")
  if (Action !== undefined) return Action.some(matches)
  return NotAction !== undefined && !NotAction.some(matches)
}

function conditionsOf({ Condition = {} }: Statement): Pick<ReleasingStatement, "pcrs" | "others"> {
  const pcrs: RequiredPcr[] = []
  let others = false
  for (const [operator, tests] of Object.entries(Condition)) {
    const [, kind] = OPERATOR.exec(operator) ?? []
    for (const [key, wanted] of Object.entries(tests)) {
      const values = oneOrMore.safeParse(wanted)
      const index = pcrIndex(key)
      if (kind === undefined || index === undefined || !values.success) others = true
      else {
        const ignoreCase = kind === "StringEqualsIgnoreCase"
        pcrs.push({ index, values: values.data, like: kind === "StringLike", ignoreCase })
      }
    }
  }
  return { pcrs, others }
}

/** The PCR behind a condition key, whose name is compared without regard to case. */
function pcrIndex(key: string): string | undefined {
  const name = key.toLowerCase()
  if (!name.startsWith(PREFIX)) return undefined
  const what = name.slice(PREFIX.length)
  return what === "imagesha384" ? "0" : /^pcr(\d{1,2})$/.exec(what)?.[1]
}

/** Only because the request brings no attestation, which an enclave's does. */
function deniesUnattested({ Condition = {} }: Statement): boolean {
  const tests = Object.entries(Condition).flatMap(([operator, block]) =>
    Object.entries(block).map(([key, value]) => ({ operator, key, value })),
  )
  return tests.some(
    ({ operator, key, value }) =>
      operator === "Null" && pcrIndex(key) !== undefined && String(value) === "true",
  )
}

function principalsOf({ Principal }: Statement): string {
  if (typeof Principal === "string") return Principal
  const named = z.record(z.string(), oneOrMore).safeParse(Principal)
  return named.success ? Object.values(named.data).flat().join(", ") : "no one"
}

function wildcard(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".")
  return new RegExp(`^${source}$`, "s")
}
