/**
 * Fills the simulated account through its real APIs, for the demo and the tests: KMS keys with
 * policies, encrypted private keys and S3 objects. Certificates of ACM are seeded by `acm/`.
 */
import { Agent } from "node:https"
import { IAMClient } from "@aws-sdk/client-iam"
import { CreateKeyCommand, EncryptCommand, KMSClient } from "@aws-sdk/client-kms"
import {
  CreateBucketCommand,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from "@aws-sdk/client-s3"
import { NodeHttpHandler } from "@smithy/node-http-handler"
import { CodedError } from "../shared/errors.js"
import { readIfThere } from "./files.js"
import { type Principal, readAdmin } from "./iam/principals.js"
import { readSimInfo, type SimInfo } from "./info.js"
import { ADMIN_ARN, ROLE_ARN, simPaths } from "./paths.js"

/** Reads what runs in `dir`. @throws CodedError `not-up`. */
export function requireSimInfo(dir: string): SimInfo {
  const info = readSimInfo(simPaths(dir))
  if (info === undefined) throw new CodedError("not-up", `no simulator has been started in ${dir}`)
  return info
}

/** Client settings of the SDK that tools choose: how often to try, and by whose clock. */
export interface ClientOptions {
  maxAttempts?: number
  /** Milliseconds ahead of the system's clock. */
  systemClockOffset?: number
}

/** Client settings that reach the simulator as one principal. */
function clientConfig(dir: string, endpoint: string, principal: Principal, options: ClientOptions) {
  const { region, caFile } = requireSimInfo(dir)
  const ca = readIfThere(caFile)
  const { accessKeyId, secretAccessKey, sessionToken } = principal
  return {
    ...options,
    region,
    endpoint,
    credentials: {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ keepAlive: true, ca }) }),
  }
}

/** A KMS client of the SDK, the administrator's by default; destroy it after use. */
export function simKmsClient(
  dir: string,
  principal = readAdmin(simPaths(dir)),
  options: ClientOptions = {},
): KMSClient {
  return new KMSClient(clientConfig(dir, requireSimInfo(dir).urls.kms, principal, options))
}

/** An S3 client of the SDK, the administrator's by default; destroy it after use. */
export function simS3Client(
  dir: string,
  principal = readAdmin(simPaths(dir)),
  options: ClientOptions = {},
): S3Client {
  const config = clientConfig(dir, requireSimInfo(dir).urls.s3, principal, options)
  return new S3Client({ ...config, forcePathStyle: true })
}

/** An IAM client of the SDK, the administrator's by default; destroy it after use. */
export function simIamClient(
  dir: string,
  principal = readAdmin(simPaths(dir)),
  options: ClientOptions = {},
): IAMClient {
  return new IAMClient(clientConfig(dir, requireSimInfo(dir).urls.iam, principal, options))
}

/** What {@link releaseKeyPolicy} admits. */
export interface KeyRelease {
  /** PCR0 of the one image that may decrypt, 96 hex digits. */
  pcr0: string
  /** The parent instance's role. Default: the simulator's. */
  roleArn?: string
}

/**
 * A key policy that lets the administrator manage the key and encrypt, and the role decrypt only
 * from an enclave of the image `pcr0`. It does not delegate to the account, so that no identity
 * policy can go round the attestation.
 */
export function releaseKeyPolicy({ pcr0, roleArn = ROLE_ARN }: KeyRelease): string {
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "Administration",
        Effect: "Allow",
        Principal: { AWS: ADMIN_ARN },
        Action: [
          "kms:DescribeKey",
          "kms:DisableKey",
          "kms:EnableKey",
          "kms:Encrypt",
          "kms:GetKeyPolicy",
          "kms:PutKeyPolicy",
          "kms:ScheduleKeyDeletion",
        ],
        Resource: "*",
      },
      {
        Sid: "ReleaseToTheEnclave",
        Effect: "Allow",
        Principal: { AWS: roleArn },
        Action: "kms:Decrypt",
        Resource: "*",
        Condition: {
          StringEqualsIgnoreCase: { "kms:RecipientAttestation:ImageSha384": pcr0 },
        },
      },
    ],
  })
}

/** Creates a KMS key with this policy and returns its ARN. */
export async function seedKmsKey({
  dir,
  policy,
}: {
  dir: string
  policy: string
}): Promise<string> {
  const client = simKmsClient(dir)
  try {
    const { KeyMetadata } = await client.send(new CreateKeyCommand({ Policy: policy }))
    if (KeyMetadata?.Arn === undefined) throw new CodedError("no-answer", "CreateKey named no key")
    return KeyMetadata.Arn
  } finally {
    client.destroy()
  }
}

/** What {@link encryptUnderKey} needs. */
export interface EncryptRequest {
  dir: string
  keyArn: string
  /** At most 4096 bytes: an RSA-4096 PEM fits. */
  plaintext: Uint8Array
  encryptionContext?: Record<string, string>
}

/** Encrypts under a KMS key as the administrator. */
export async function encryptUnderKey(request: EncryptRequest): Promise<Uint8Array> {
  const client = simKmsClient(request.dir)
  try {
    const { CiphertextBlob } = await client.send(
      new EncryptCommand({
        KeyId: request.keyArn,
        Plaintext: request.plaintext,
        ...(request.encryptionContext && { EncryptionContext: request.encryptionContext }),
      }),
    )
    if (CiphertextBlob === undefined) throw new CodedError("no-answer", "Encrypt gave no blob")
    return CiphertextBlob
  } finally {
    client.destroy()
  }
}

/** What {@link seedS3Object} stores. */
export interface S3Seed {
  dir: string
  bucket: string
  key: string
  body: string | Uint8Array
}

/** Puts an object, in a new bucket if need be. Returns its ETag, quotes included. */
export async function seedS3Object({ dir, bucket, key, body }: S3Seed): Promise<string> {
  const client = simS3Client(dir)
  try {
    await createBucket(client, bucket)
    const put = new PutObjectCommand({ Bucket: bucket, Key: key, Body: body })
    return (await client.send(put)).ETag ?? ""
  } finally {
    client.destroy()
  }
}

/** Creates a bucket; fine if it is there. */
export async function seedS3Bucket(dir: string, bucket: string): Promise<void> {
  const client = simS3Client(dir)
  try {
    await createBucket(client, bucket)
  } finally {
    client.destroy()
  }
}

async function createBucket(client: S3Client, bucket: string): Promise<void> {
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
  } catch (error) {
    if (error instanceof S3ServiceException && error.name === "BucketAlreadyOwnedByYou") return
    throw error
  }
}
