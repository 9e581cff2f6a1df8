/** KMS key policies, asked through the real SDK client: who may decrypt what, and in which words not. */
import { DecryptCommand, KMSServiceException, PutKeyPolicyCommand } from "@aws-sdk/client-kms"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { currentRoleSession, readAdmin, SESSION_TTL_SECS } from "../../sim/iam/principals.js"
import { ACCOUNT_ID, ADMIN_ARN, ROLE_ARN, ROLE_SESSION_ARN } from "../../sim/paths.js"
import { encryptUnderKey, releaseKeyPolicy, seedKmsKey, simKmsClient } from "../../sim/seed.js"
import { makeRecipient, readAudit, startTestSimulator, type TestSimulator } from "./simulator.js"

const PCR0 = Buffer.alloc(48, 0xaa)
const OTHER_PCR0 = Buffer.alloc(48, 0xbb).toString("hex")
const IMAGE = "kms:RecipientAttestation:ImageSha384"
const PLAINTEXT = Buffer.from("a secret")
const ROOT = `arn:aws:iam::${ACCOUNT_ID}:root`
const ADMINISTRATION = {
  Effect: "Allow",
  Principal: { AWS: ADMIN_ARN },
  Action: ["kms:Encrypt", "kms:PutKeyPolicy"],
  Resource: "*",
}

let sim: TestSimulator
let keyArn: string
beforeAll(async () => {
  sim = await startTestSimulator()
})
afterAll(() => sim.stop())
beforeEach(async () => {
  keyArn = await seedKmsKey({ dir: sim.dir, policy: policyOf() })
})

function policyOf(...statements: object[]): string {
  return JSON.stringify({ Version: "2012-10-17", Statement: [ADMINISTRATION, ...statements] })
}

function allowRole(Condition?: object, Principal: unknown = { AWS: ROLE_ARN }): object {
  const statement = { Effect: "Allow", Principal, Action: "kms:Decrypt", Resource: "*" }
  return Condition ? { ...statement, Condition } : statement
}

interface Attempt {
  attested?: boolean
  as?: "role" | "admin"
  context?: Record<string, string>
}

/** Decrypts under the policy given; returns what came of it, as KMS says it. */
async function attempt(policy: string, { attested = true, as = "role", context }: Attempt = {}) {
  const admin = simKmsClient(sim.dir)
  await admin.send(new PutKeyPolicyCommand({ KeyId: keyArn, Policy: policy }))
  admin.destroy()
  const principal =
    as === "role" ? currentRoleSession(sim.paths, SESSION_TTL_SECS) : readAdmin(sim.paths)
  const client = simKmsClient(sim.dir, principal)
  const { document } = await makeRecipient(sim.pki, { pcr0: PCR0 })
  try {
    const answer = await client.send(
      new DecryptCommand({
        KeyId: keyArn,
        CiphertextBlob: await encryptUnderKey({
          dir: sim.dir,
          keyArn,
          plaintext: PLAINTEXT,
          ...(context && { encryptionContext: context }),
        }),
        ...(context && { EncryptionContext: context }),
        ...(attested && {
          Recipient: {
            KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256",
            AttestationDocument: document,
          },
        }),
      }),
    )
    expect(answer.KeyId).toBe(keyArn)
    return "allowed"
  } catch (error) {
    if (!(error instanceof KMSServiceException)) throw error
    return `${error.name}: ${error.message}`
  } finally {
    client.destroy()
  }
}

const refusal = (who: string, why: string) =>
  `AccessDeniedException: User: ${who} is not authorized to perform: kms:Decrypt on resource: KEY ${why}`
const NO_ALLOW = refusal(
  ROLE_SESSION_ARN,
  "because no resource-based policy allows the kms:Decrypt action",
)
const DENIED = refusal(ROLE_SESSION_ARN, "with an explicit deny in a resource-based policy")

describe("kms:Decrypt", () => {
  const image = PCR0.toString("hex")
  const cases: { name: string; policy: string; attempt?: Attempt; outcome: string }[] = [
    {
      name: "the release policy, from its image",
      policy: releaseKeyPolicy({ pcr0: image }),
      outcome: "allowed",
    },
    {
      name: "the release policy, image in upper case",
      policy: releaseKeyPolicy({ pcr0: image.toUpperCase() }),
      outcome: "allowed",
    },
    {
      name: "the release policy, from another image",
      policy: releaseKeyPolicy({ pcr0: OTHER_PCR0 }),
      outcome: NO_ALLOW,
    },
    {
      name: "the release policy, without a document",
      policy: releaseKeyPolicy({ pcr0: image }),
      attempt: { attested: false },
      outcome: NO_ALLOW,
    },
    {
      name: "the release policy, for another role",
      policy: releaseKeyPolicy({ pcr0: image, roleArn: `${ROLE_ARN}-other` }),
      outcome: NO_ALLOW,
    },
    {
      name: "the release policy, by the administrator who encrypted",
      policy: releaseKeyPolicy({ pcr0: image }),
      attempt: { as: "admin" },
      outcome: refusal(ADMIN_ARN, "because no resource-based policy allows the kms:Decrypt action"),
    },
    {
      name: "PCR0 by its number",
      policy: policyOf(allowRole({ StringEquals: { "kms:RecipientAttestation:PCR0": image } })),
      outcome: "allowed",
    },
    {
      name: "a PCR that differs",
      policy: policyOf(
        allowRole({ StringEquals: { [IMAGE]: image, "kms:RecipientAttestation:PCR4": image } }),
      ),
      outcome: NO_ALLOW,
    },
    {
      name: "one of several images",
      policy: policyOf(allowRole({ StringEquals: { [IMAGE]: [OTHER_PCR0, image] } })),
      outcome: "allowed",
    },
    {
      name: "StringEquals minds the case",
      policy: policyOf(allowRole({ StringEquals: { [IMAGE]: image.toUpperCase() } })),
      outcome: NO_ALLOW,
    },
    {
      name: "StringLike",
      policy: policyOf(allowRole({ StringLike: { [IMAGE]: "aaaa*" } })),
      outcome: "allowed",
    },
    {
      name: "explicit deny of other images wins over an allow",
      policy: policyOf(allowRole(), {
        ...allowRole({ StringNotEqualsIgnoreCase: { [IMAGE]: OTHER_PCR0 } }, "*"),
        Effect: "Deny",
      }),
      outcome: DENIED,
    },
    {
      name: "explicit deny of other images reaches a request without a document",
      policy: policyOf(allowRole(), {
        ...allowRole({ StringNotEqualsIgnoreCase: { [IMAGE]: image } }, "*"),
        Effect: "Deny",
      }),
      attempt: { attested: false },
      outcome: DENIED,
    },
    {
      name: "explicit deny of other images lets its own pass",
      policy: policyOf(allowRole(), {
        ...allowRole({ StringNotEqualsIgnoreCase: { [IMAGE]: image } }, "*"),
        Effect: "Deny",
      }),
      outcome: "allowed",
    },
    {
      name: "an action by wildcard, in another case",
      policy: policyOf({ ...allowRole(), Action: "KMS:Dec*" }),
      outcome: "allowed",
    },
    {
      name: "another action",
      policy: policyOf({ ...allowRole(), Action: "kms:GenerateDataKey" }),
      outcome: NO_ALLOW,
    },
    {
      name: "the session itself as principal",
      policy: policyOf(allowRole(undefined, { AWS: ROLE_SESSION_ARN })),
      outcome: "allowed",
    },
    {
      name: "aws:PrincipalArn is the role",
      policy: policyOf(allowRole({ StringEquals: { "aws:PrincipalArn": ROLE_ARN } }, "*")),
      outcome: "allowed",
    },
    {
      name: "the account's root leaves it to the role's own policy, past all attestation",
      policy: policyOf(allowRole(undefined, { AWS: ROOT })),
      attempt: { attested: false },
      outcome: "allowed",
    },
    {
      name: "the account's root with a condition on the image",
      policy: policyOf(allowRole({ StringEquals: { [IMAGE]: image } }, { AWS: ROOT })),
      attempt: { attested: false },
      outcome: NO_ALLOW,
    },
    {
      name: "an encryption context that is there",
      policy: policyOf(allowRole({ StringEquals: { "kms:EncryptionContext:token": "web" } })),
      attempt: { context: { token: "web" } },
      outcome: "allowed",
    },
    {
      name: "an encryption context of another value",
      policy: policyOf(allowRole({ StringEquals: { "kms:EncryptionContext:token": "web" } })),
      attempt: { context: { token: "mail" } },
      outcome: NO_ALLOW,
    },
    {
      name: "an encryption context that is missing",
      policy: policyOf(allowRole({ StringEquals: { "kms:EncryptionContext:token": "web" } })),
      outcome: NO_ALLOW,
    },
    {
      name: "Bool and Null",
      policy: policyOf(
        allowRole({ Bool: { "aws:SecureTransport": true }, Null: { [IMAGE]: "false" } }),
      ),
      outcome: "allowed",
    },
    {
      name: "Null without a document",
      policy: policyOf(allowRole({ Null: { [IMAGE]: "false" } })),
      attempt: { attested: false },
      outcome: NO_ALLOW,
    },
    {
      name: "ForAnyValue over the names of the encryption context",
      policy: policyOf(
        allowRole({ "ForAnyValue:StringEquals": { "kms:EncryptionContextKeys": "token" } }),
      ),
      attempt: { context: { other: "1", token: "web" } },
      outcome: "allowed",
    },
  ]
  it.each(cases)("$name → $outcome", async ({ policy, attempt: how, outcome }) => {
    expect(await attempt(policy, how)).toBe(outcome.replace("KEY", keyArn))
  })

  it("leaves a line in the audit trail that names the image and no secret", async () => {
    await attempt(releaseKeyPolicy({ pcr0: OTHER_PCR0 }))
    const last = (await readAudit(sim.paths)).at(-1)
    expect(last).toMatchObject({
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      action: "kms:Decrypt",
      principal: ROLE_SESSION_ARN,
      key: keyArn,
      decision: "refused",
      recipientPcr0: PCR0.toString("hex"),
    })
    expect(JSON.stringify(await readAudit(sim.paths))).not.toContain(PLAINTEXT.toString())
  })
})

describe("PutKeyPolicy", () => {
  const malformed: [string, string][] = [
    ["no JSON", "{"],
    ["an operator that is not known", policyOf(allowRole({ StringEquals2: { [IMAGE]: "x" } }))],
    ["a field that is not known", policyOf({ ...allowRole(), NotPrincipal: "*" })],
    ["a statement without principal", policyOf({ Effect: "Allow", Action: "*", Resource: "*" })],
    ["a policy that locks its author out", JSON.stringify({ Statement: [allowRole()] })],
  ]
  it.each(malformed)("refuses %s", async (_name, policy) => {
    expect(await attempt(policy).catch((error: Error) => error.name)).toBe(
      "MalformedPolicyDocumentException",
    )
  })
})
