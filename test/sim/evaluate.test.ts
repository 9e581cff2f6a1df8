/** IAM's decisions where the caller's own policy has a say. */
import { describe, expect, it } from "vitest"
import { conditionContext } from "../../sim/iam/conditions.js"
import { type Decision, evaluateAccess, refusalMessage } from "../../sim/iam/evaluate.js"
import { type Policy, policySchema } from "../../sim/iam/policy-document.js"
import { ACCOUNT_ID, ROLE_ARN, ROLE_SESSION_ARN } from "../../sim/paths.js"

const KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
const DELEGATION = policy({ Effect: "Allow", Principal: { AWS: ACCOUNT_ID }, Action: "kms:*" })
const NOTHING = policySchema.parse({ Statement: [] })
const ALLOW = policy({ Effect: "Allow", Action: "kms:Decrypt" })
const DENY = policy({ Effect: "Deny", NotAction: "s3:*" })

function policy(...statements: object[]): Policy {
  return policySchema.parse({ Statement: statements.map((one) => ({ Resource: "*", ...one })) })
}

function requestBy(own: Policy) {
  const principal = { arn: ROLE_SESSION_ARN, roleArn: ROLE_ARN, policy: own }
  return { principal, action: "kms:Decrypt", resource: KEY, context: conditionContext([]) }
}

function decide(own: Policy, keyPolicy: Policy | undefined): Decision {
  return evaluateAccess(requestBy(own), keyPolicy, "must-allow-or-delegate")
}

describe("evaluateAccess", () => {
  const direct = policy({ Effect: "Allow", Principal: "*", Action: "kms:Decrypt" })
  const denyAccount = policy({ Effect: "Deny", Principal: { AWS: ACCOUNT_ID }, Action: "*" })
  const combined: Policy = { Statement: [...direct.Statement, ...denyAccount.Statement] }
  const refused = (why: string, kind: string) => ({ allowed: false, why, kind })
  it.each([
    ["delegated and allowed", ALLOW, DELEGATION, { allowed: true, by: "identity-based" }],
    ["delegated, not allowed", NOTHING, DELEGATION, refused("no-allow", "identity-based")],
    ["allowed, not delegated", ALLOW, NOTHING, refused("no-allow", "resource-based")],
    ["allowed without a key policy", ALLOW, undefined, refused("no-allow", "resource-based")],
    ["allowed by the key alone", NOTHING, direct, { allowed: true, by: "resource-based" }],
    ["denied by the caller's", DENY, direct, refused("explicit-deny", "identity-based")],
    ["denied to the account", ALLOW, combined, refused("explicit-deny", "resource-based")],
  ])("%s", (_name, own, keyPolicy, decision) => {
    expect(decide(own, keyPolicy)).toEqual(decision)
  })

  it("minds the resource and the case of its name", () => {
    const elsewhere = policy({ Effect: "Allow", Action: "kms:Decrypt", Resource: `${KEY}2` })
    expect(decide(elsewhere, DELEGATION).allowed).toBe(false)
    const here = policy({ Effect: "Allow", Action: "kms:decrypt", Resource: "arn:aws:kms:*:key/?" })
    expect(decide(here, DELEGATION).allowed).toBe(true)
  })

  it("says which policy refused, in AWS's words", () => {
    const head = `User: ${ROLE_SESSION_ARN} is not authorized to perform: kms:Decrypt on resource: ${KEY}`
    const sentence = (why: "no-allow" | "explicit-deny") =>
      refusalMessage(requestBy(NOTHING), { allowed: false, why, kind: "identity-based" })
    expect(sentence("no-allow")).toBe(
      `${head} because no identity-based policy allows the kms:Decrypt action`,
    )
    expect(sentence("explicit-deny")).toBe(
      `${head} with an explicit deny in an identity-based policy`,
    )
  })
})
