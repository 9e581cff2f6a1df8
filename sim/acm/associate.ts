/**
 * Does what `aws ec2 associate-enclave-certificate-iam-role` does: encrypts a certificate's private
 * key under a KMS key of AWS's, and leaves both in AWS's bucket where the role's agent looks.
 */
import { randomBytes } from "node:crypto"
import { CodedError } from "../../shared/errors.js"
import type { Policy } from "../iam/policy-document.js"
import { encryptBlob } from "../kms/ciphertext.js"
import { MAX_PLAINTEXT_BYTES } from "../kms/crypto-operations.js"
import { KeyStore, makeKey } from "../kms/key-store.js"
import { PARTITION, REGION, type SimPaths } from "../paths.js"
import { ObjectStore } from "../s3/object-store.js"

/** The account that ACM's bucket belongs to; not the simulated one. */
const ACM_ACCOUNT_ID = "999999999999"
type Suite = "beta" | "prod"

/** A certificate and the role that is to use it. */
export interface Association {
  certificateArn: string
  roleArn: string
  /** PEM of the leaf, and of its chain. */
  certificate: string
  certificateChain: string
  /** PEM of the private key, at most 4096 bytes. */
  privateKey: Uint8Array
  /**
   * PCR0 that the key's policy names, 96 hex digits. Default: any enclave that attests; what AWS's
   * own policy demands is not published.
   */
  pcr0?: string | undefined
  /** Last part of the bucket's name. Default `prod`. */
  suite?: Suite
}

/** What the command answers, by the names that AWS gives it. */
export interface AssociationAnswer {
  CertificateS3BucketName: string
  CertificateS3ObjectKey: string
  /** The key's id, not its ARN. */
  EncryptionKmsKeyId: string
}

/**
 * Associates; a second time it publishes the certificate again, under a new KMS key.
 *
 * @throws CodedError `bad-argument`
 */
export function associateCertificate(paths: SimPaths, association: Association): AssociationAnswer {
  const { certificateArn, roleArn, privateKey, suite = "prod" } = association
  if (!certificateArn.startsWith(`arn:${PARTITION}:acm:${REGION}:`)) {
    throw new CodedError("bad-argument", `${certificateArn} is no certificate of ${REGION}`)
  }
  if (!roleArn.startsWith(`arn:${PARTITION}:iam::`) || !roleArn.includes(":role/")) {
    throw new CodedError("bad-argument", `${roleArn} is no role`)
  }
  if (privateKey.length > MAX_PLAINTEXT_BYTES) {
    throw new CodedError("bad-argument", "the private key has more than 4096 bytes")
  }
  const kmsKey = makeKey(JSON.stringify(keyPolicy(association)), "ACM for Nitro Enclaves", "AWS")
  new KeyStore(paths.kmsDir).save(kmsKey)
  const bucket = bucketName(suite)
  const key = `${roleArn}/${certificateArn}`
  const store = new ObjectStore(paths.s3Dir)
  store.adoptBucket(bucket, ACM_ACCOUNT_ID, withReader(store, bucket, roleArn))
  const published = {
    certificate: association.certificate,
    certificateChain: association.certificateChain,
    encryptedPrivateKey: encryptBlob(kmsKey, privateKey, {}).toString("base64"),
    encryptionMethod: "KMS",
  }
  store.put(bucket, key, Buffer.from(JSON.stringify(published)))
  return {
    CertificateS3BucketName: bucket,
    CertificateS3ObjectKey: key,
    EncryptionKmsKeyId: kmsKey.keyId,
  }
}

/** Makes AWS's bucket, which is there before any certificate is. */
export function ensureAcmBucket(paths: SimPaths): void {
  const store = new ObjectStore(paths.s3Dir)
  const bucket = bucketName("prod")
  if (!store.hasBucket(bucket)) store.adoptBucket(bucket, ACM_ACCOUNT_ID)
}

function bucketName(suite: Suite): string {
  return `${PARTITION}-ec2-enclave-certificate-${REGION}-${suite}`
}

/** An ARN for a certificate that ACM is made to have. */
export function certificateArn(accountId: string): string {
  const id = randomBytes(16).toString("hex")
  const uuid = id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")
  return `arn:${PARTITION}:acm:${REGION}:${accountId}:certificate/${uuid}`
}

/** The role, from an enclave, and nobody else: the account's owner cannot change it either. */
function keyPolicy({ roleArn, pcr0 }: Association): Policy {
  const attested =
    pcr0 === undefined
      ? { Null: { "kms:RecipientAttestation:ImageSha384": "false" } }
      : { StringEqualsIgnoreCase: { "kms:RecipientAttestation:ImageSha384": pcr0 } }
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: { AWS: roleArn },
        Action: "kms:Decrypt",
        Resource: "*",
        Condition: attested,
      },
    ],
  }
}

/** Each role may read what lies below its own name; none may list. */
function withReader(store: ObjectStore, bucket: string, roleArn: string): Policy {
  const Resource = `arn:${PARTITION}:s3:::${bucket}/${roleArn}/*`
  const others = (store.access(bucket).policy?.Statement ?? []).filter(
    (statement) => statement.Resource !== Resource,
  )
  const reader = {
    Effect: "Allow" as const,
    Principal: { AWS: roleArn },
    Action: "s3:GetObject",
    Resource,
  }
  return { Version: "2012-10-17", Statement: [...others, reader] }
}
