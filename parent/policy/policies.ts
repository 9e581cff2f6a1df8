/** From the options of `tlskeep policy` to the policies and what must be said about them. */
import { AgentError } from "../errors.js"
import {
  type Arn,
  certificateArn,
  invalid,
  keyArn,
  parseS3Uri,
  principalArn,
  roleArn,
} from "./arn.js"
import { parseMeasurements, pcr, pcr3OfRole, type Release } from "./measurements.js"
import { keyPolicy, type PolicyDocument, rolePolicy } from "./statements.js"

/** As the command line has them; `measurements` is the file's content. */
export interface PolicyInput {
  pcr0: readonly string[]
  measurements?: string
  pcr3: boolean
  pcr8?: string
  signed: boolean
  roleArn: string
  kmsKeyId?: string
  adminArn: readonly string[]
  sealerArn: readonly string[]
  accountRoot: boolean
  s3Uri: readonly string[]
  certificateArn?: string
  certificateBucket?: string
  certificateKey?: string
  encryptionKmsKeyId?: string
}

export interface Policies {
  rolePolicy: PolicyDocument
  /** Absent where no key of one's own is asked for. */
  keyPolicy?: PolicyDocument
  /** What holds beyond the policies, in sentences. */
  notes: readonly string[]
}

/** @throws AgentError `policy-input-invalid` */
export function policiesFor(input: PolicyInput): Policies {
  const role = roleArn("--role-arn", input.roleArn)
  const release = releaseOf(input, role)
  const key = input.kmsKeyId === undefined ? undefined : keyArn("--kms-key-id", input.kmsKeyId)
  const acm = acmOf(input, role)
  if (release === undefined && (key !== undefined || acm === undefined)) {
    throw new AgentError("policy-input-invalid", "neither --pcr0 nor --measurements is given", {
      advice: "Say which image may decrypt; for ACM's own key alone, give --certificate-arn.",
    })
  }
  const objects = input.s3Uri.map((uri) => parseS3Uri("--s3-uri", uri))
  const printed = rolePolicy({
    role,
    objects: [...objects, ...(acm?.objects ?? [])],
    ...(key === undefined || release === undefined ? {} : { key: { arn: key.arn, release } }),
    ...(acm?.keyArn === undefined ? {} : { acmKeyArn: acm.keyArn }),
  })
  if (release === undefined) return { rolePolicy: printed, notes: acm?.notes ?? [] }
  const administrators = administratorsOf(input, key ?? role)
  const sealers = input.sealerArn.map((arn) => principalArn("--sealer-arn", arn))
  return {
    rolePolicy: printed,
    keyPolicy: keyPolicy({
      release,
      role,
      administrators,
      sealers: sealers.length === 0 ? administrators : sealers,
    }),
    notes: [...notesOf(input, key, objects.length), ...(acm?.notes ?? [])],
  }
}

function releaseOf(input: PolicyInput, role: Arn): Release | undefined {
  const { measurements } = input
  const measured = measurements === undefined ? undefined : parseMeasurements(measurements)
  const given = input.pcr0.map((value) => pcr("--pcr0", value))
  const pcr0 = [...new Set([...given, ...(measured === undefined ? [] : [measured.pcr0])])]
  if (pcr0.length === 0) return undefined
  const pcr8 = pcr8Of(input, measured?.pcr8)
  return {
    pcr0,
    ...(input.pcr3 ? { pcr3: pcr3OfRole(role.arn) } : {}),
    ...(pcr8 === undefined ? {} : { pcr8 }),
  }
}

function pcr8Of({ pcr8, signed }: PolicyInput, measured: string | undefined): string | undefined {
  if (pcr8 !== undefined) return pcr("--pcr8", pcr8)
  if (!signed) return undefined
  if (measured !== undefined) return pcr("PCR8 of --measurements", measured)
  throw new AgentError("policy-input-invalid", "--measurements holds no PCR8", {
    advice: "Sign the image when it is built, or leave --signed out.",
  })
}

function administratorsOf({ adminArn, accountRoot }: PolicyInput, { partition, account }: Arn) {
  const named = adminArn.map((arn) => principalArn("--admin-arn", arn))
  const root = accountRoot ? [`arn:${partition}:iam::${account}:root`] : []
  const administrators = [...named, ...root]
  if (administrators.length > 0) return administrators
  throw new AgentError("policy-input-invalid", "nobody could manage the key", {
    advice:
      "Name a user or role by --admin-arn, or let the account's IAM policies say who may manage it (never decrypt) by --account-root.",
  })
}

interface AcmAccess {
  objects: readonly { bucket: string; key: string }[]
  keyArn?: string
  notes: readonly string[]
}

function acmOf(input: PolicyInput, role: Arn): AcmAccess | undefined {
  if (input.certificateArn === undefined) return undefined
  const certificate = certificateArn("--certificate-arn", input.certificateArn)
  const { partition, region, arn } = certificate
  const bucket = input.certificateBucket ?? `${partition}-ec2-enclave-certificate-${region}-prod`
  const key = input.certificateKey ?? `${role.arn}/${arn}`
  const parsed = parseS3Uri("--certificate-bucket with its key", `s3://${bucket}/${key}`)
  const encryption = input.encryptionKmsKeyId
  const notes = [
    "ACM's object is encrypted under a key whose policy is Amazon's: whether it admits an image other than Amazon's own is not published. A key of your own (--kms-key-id, tlskeep seal) is certain to.",
    ...(encryption === undefined
      ? [
          "Give --encryption-kms-key-id as the association returned it: without it the role may not decrypt.",
        ]
      : []),
  ]
  if (encryption === undefined) return { objects: [parsed], notes }
  return { objects: [parsed], keyArn: acmKeyArn(encryption, certificate), notes }
}

/** The association returns a key's id; its account is Amazon's. */
function acmKeyArn(text: string, { partition, region }: Arn): string {
  if (text.startsWith("arn:")) return keyArn("--encryption-kms-key-id", text).arn
  if (!/^[A-Za-z0-9-]{1,128}$/.test(text))
    throw invalid("--encryption-kms-key-id", "a KMS key's id")
  return `arn:${partition}:kms:${region}:*:key/${text}`
}

function notesOf(
  { accountRoot }: PolicyInput,
  key: Arn | undefined,
  objects: number,
): readonly string[] {
  return [
    "Whoever may change the key policy (kms:PutKeyPolicy) can release the key to anyone: watch that call in CloudTrail.",
    ...(accountRoot
      ? [
          "By --account-root an IAM policy of the account can give kms:PutKeyPolicy, and with it the key. It cannot give kms:Decrypt itself.",
        ]
      : []),
    ...(key === undefined
      ? ["No --kms-key-id: create the key with the key policy, then ask again for the role policy."]
      : []),
    ...(objects === 0 ? ["No --s3-uri: the role may read no key object from S3."] : []),
  ]
}
