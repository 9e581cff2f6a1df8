/**
 * The policies that release a key to an enclave alone: the KMS key's, which decides, and the role's,
 * which adds what the agent reads. Source: AWS KMS developer guide, "Condition keys for Nitro Enclaves".
 */
import { type Arn, objectArn } from "./arn.js"
import type { Release } from "./measurements.js"

export interface Statement {
  Sid: string
  Effect: "Allow" | "Deny"
  Principal?: "*" | { AWS: string | readonly string[] }
  Action: string | readonly string[]
  Resource: string | readonly string[]
  Condition?: Record<string, Record<string, string | readonly string[]>>
}
export interface PolicyDocument {
  Version: "2012-10-17"
  Statement: readonly Statement[]
}

const IMAGE_KEY = "kms:RecipientAttestation:ImageSha384"

/**
 * What an administrator may: nothing that yields a plaintext. Left out on purpose are kms:CreateGrant,
 * since a grant allows without asking the key policy, and kms:ReEncrypt*.
 */
const ADMINISTRATION = [
  "kms:CancelKeyDeletion",
  "kms:DescribeKey",
  "kms:DisableKey",
  "kms:EnableKey",
  "kms:EnableKeyRotation",
  "kms:GetKeyPolicy",
  "kms:GetKeyRotationStatus",
  "kms:ListGrants",
  "kms:ListKeyPolicies",
  "kms:ListResourceTags",
  "kms:PutKeyPolicy",
  "kms:RevokeGrant",
  "kms:ScheduleKeyDeletion",
  "kms:TagResource",
  "kms:UntagResource",
  "kms:UpdateKeyDescription",
]
/** `seal` encrypts, and `seal --check` reads the policy. */
const SEALING = ["kms:DescribeKey", "kms:Encrypt", "kms:GetKeyPolicy"]

export interface KeyPolicyRequest {
  release: Release
  /** Role of the instance. */
  role: Arn
  /** ARNs of users and roles, or an account's root. */
  administrators: readonly string[]
  sealers: readonly string[]
}

export function keyPolicy(request: KeyPolicyRequest): PolicyDocument {
  const { release, role, administrators, sealers } = request
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "Administration",
        Effect: "Allow",
        Principal: { AWS: oneOrMore(administrators) },
        Action: ADMINISTRATION,
        Resource: "*",
      },
      {
        Sid: "Sealing",
        Effect: "Allow",
        Principal: { AWS: oneOrMore(sealers) },
        Action: SEALING,
        Resource: "*",
      },
      {
        Sid: "ReleaseToTheEnclave",
        Effect: "Allow",
        Principal: { AWS: role.arn },
        Action: "kms:Decrypt",
        Resource: "*",
        Condition: attested(release),
      },
      {
        // Against grants, and statements that are added later.
        Sid: "NeverWithoutAttestation",
        Effect: "Deny",
        Principal: "*",
        Action: ["kms:Decrypt", "kms:ReEncryptFrom"],
        Resource: "*",
        Condition: { Null: { [IMAGE_KEY]: "true" } },
      },
    ],
  }
}

export interface RolePolicyRequest {
  role: Arn
  /** `s3://` objects. */
  objects: readonly { bucket: string; key: string }[]
  /** A key of one's own, with what it is released to. */
  key?: { arn: string; release: Release }
  /** The key that ACM's object is encrypted under; its policy is Amazon's. */
  acmKeyArn?: string
}

export function rolePolicy({ role, objects, key, acmKeyArn }: RolePolicyRequest): PolicyDocument {
  const statements: Statement[] = []
  if (objects.length > 0) {
    statements.push({
      Sid: "ReadKeyObjects",
      Effect: "Allow",
      Action: "s3:GetObject",
      Resource: oneOrMore(
        objects.map((object) => objectArn(role.partition, object.bucket, object.key)),
      ),
    })
  }
  if (key !== undefined) {
    statements.push({
      Sid: "DecryptInTheEnclave",
      Effect: "Allow",
      Action: "kms:Decrypt",
      Resource: key.arn,
      Condition: attested(key.release),
    })
  }
  if (acmKeyArn !== undefined) {
    statements.push({
      Sid: "DecryptAcmsObject",
      Effect: "Allow",
      Action: "kms:Decrypt",
      Resource: acmKeyArn,
    })
  }
  statements.push({
    Sid: "FindOwnArn",
    Effect: "Allow",
    Action: "iam:GetRole",
    Resource: role.arn,
  })
  return { Version: "2012-10-17", Statement: statements }
}

/** Every key of one operator must hold; of several values of a key, any. */
function attested({ pcr0, pcr3, pcr8 }: Release): NonNullable<Statement["Condition"]> {
  return {
    StringEqualsIgnoreCase: {
      [IMAGE_KEY]: oneOrMore(pcr0),
      ...(pcr3 === undefined ? {} : { "kms:RecipientAttestation:PCR3": pcr3 }),
      ...(pcr8 === undefined ? {} : { "kms:RecipientAttestation:PCR8": pcr8 }),
    },
  }
}

function oneOrMore(values: readonly string[]): string | readonly string[] {
  const [first] = values
  return values.length === 1 && first !== undefined ? first : values
}
