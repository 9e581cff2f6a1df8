/**
 * IAM's decision for one request: the policy on the resource and the caller's own, an explicit
 * deny first, then an allow, else no. Source: IAM user guide, "Policy evaluation logic".
 */
import { ACCOUNT_ID } from "../paths.js"
import {
  type ConditionContext,
  conditionContext,
  conditionsHold,
  listOf,
  wildcardMatches,
} from "./conditions.js"
import type { Policy, Statement } from "./policy-document.js"
import type { Principal } from "./principals.js"

/** One request to be decided. */
export interface AccessRequest {
  principal: Pick<Principal, "arn" | "roleArn" | "policy">
  /** `service:Action`. */
  action: string
  /** ARN of what is acted on. */
  resource: string
  /** Service-specific condition keys. */
  context: ConditionContext
}

/**
 * How the policy on a resource counts. A KMS key's must allow, or delegate to the account; a
 * bucket's and the caller's own policy each suffice within one account, and across accounts both
 * must allow.
 */
export type ResourcePolicyRole = "must-allow-or-delegate" | "may-allow" | "must-allow-both"

/** The kind of policy that decided, in AWS's words. */
export type PolicyKind = "resource-based" | "identity-based"

export type Decision =
  | { allowed: true; by: PolicyKind }
  /** Refused by a deny in such a policy, or for want of an allow in one. */
  | { allowed: false; why: "explicit-deny" | "no-allow"; kind: PolicyKind }

/** Decides a request under the policy on its resource (if any) and the caller's own. */
export function evaluateAccess(
  request: AccessRequest,
  resourcePolicy: Policy | undefined,
  role: ResourcePolicyRole,
): Decision {
  const full = { ...request, context: withGlobalKeys(request) }
  const onResource = (resourcePolicy?.Statement ?? []).filter((s) => statementApplies(s, full))
  const direct = onResource.filter((s) => namesPrincipal(s, request.principal))
  const delegated = onResource.filter((s) => namesAccount(s))
  const own = request.principal.policy.Statement.filter((s) => statementApplies(s, full))

  // A deny for the account's root reaches everyone in the account.
  if ([...direct, ...delegated].some(isDeny)) return refused("explicit-deny", "resource-based")
  if (own.some(isDeny)) return refused("explicit-deny", "identity-based")
  if (role === "must-allow-both") {
    if (direct.length === 0) return refused("no-allow", "resource-based")
    if (own.length === 0) return refused("no-allow", "identity-based")
  }
  if (direct.length > 0) return { allowed: true, by: "resource-based" }
  const ownSuffices = role === "may-allow" || delegated.length > 0
  if (ownSuffices && own.length > 0) return { allowed: true, by: "identity-based" }
  return refused("no-allow", ownSuffices ? "identity-based" : "resource-based")
}

/** The sentence with which AWS refuses, without its code. */
export function refusalMessage(
  { principal, action, resource }: AccessRequest,
  { why, kind }: Extract<Decision, { allowed: false }>,
): string {
  const head = `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${resource}`
  if (why === "no-allow") return `${head} because no ${kind} policy allows the ${action} action`
  return `${head} with an explicit deny in ${kind === "identity-based" ? "an" : "a"} ${kind} policy`
}

function refused(why: "explicit-deny" | "no-allow", kind: PolicyKind): Decision {
  return { allowed: false, why, kind }
}

function isDeny({ Effect }: Statement): boolean {
  return Effect === "Deny"
}

function withGlobalKeys({ principal, context }: AccessRequest): ConditionContext {
  const global = conditionContext([
    // For a role's session this is the role, not the session.
    ["aws:PrincipalArn", principal.roleArn ?? principal.arn],
    ["aws:PrincipalAccount", ACCOUNT_ID],
    ["aws:SecureTransport", "true"],
  ])
  return new Map([...global, ...context])
}

function statementApplies(statement: Statement, request: AccessRequest): boolean {
  const matchesAction = (pattern: string) => wildcardMatches(pattern, request.action, true)
  const { Action, NotAction, Resource } = statement
  const actionApplies =
    Action === undefined
      ? !listOf(NotAction ?? []).some(matchesAction)
      : listOf(Action).some(matchesAction)
  const resourceApplies = listOf(Resource ?? "*").some((pattern) =>
    wildcardMatches(pattern, request.resource),
  )
  return actionApplies && resourceApplies && conditionsHold(statement.Condition, request.context)
}

function namedPrincipals({ Principal }: Statement): readonly string[] {
  if (Principal === undefined) return []
  return Principal === "*" ? ["*"] : listOf(Principal.AWS)
}

/** True if the statement names the caller, the role it was assumed from, or everyone. */
function namesPrincipal(
  statement: Statement,
  { arn, roleArn }: Pick<Principal, "arn" | "roleArn">,
): boolean {
  return namedPrincipals(statement).some(
    (name) => name === "*" || name === arn || (roleArn !== undefined && name === roleArn),
  )
}

/** True if the statement names the account, which leaves the rest to its identity policies. */
function namesAccount(statement: Statement): boolean {
  const root = `arn:aws:iam::${ACCOUNT_ID}:root`
  return namedPrincipals(statement).some((name) => name === ACCOUNT_ID || name === root)
}
