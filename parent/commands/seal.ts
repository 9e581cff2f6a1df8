/** `tlskeep seal`: files in, key object out. */
import { readFile } from "node:fs/promises"
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3"
import writeFileAtomic from "write-file-atomic"
import { systemErrorCode } from "../../shared/errors.js"
import { KMS_KEY_ARN } from "../../shared/protocol/control.js"
import { AgentError } from "../errors.js"
import { seal } from "../seal/seal.js"

export interface SealOptions {
  key: string
  certificate: string
  chain?: string
  kmsKeyId: string
  /** A file, or `s3://<bucket>/<key>`. */
  output: string
}

/** Seals and says where the object went. */
export async function sealCommand(options: SealOptions): Promise<string> {
  const [, , region] = KMS_KEY_ARN.exec(options.kmsKeyId) ?? []
  if (region === undefined) {
    throw new AgentError("malformed-key-id", "--kms-key-id is not the ARN of a KMS key", {
      advice: "Give the full ARN, arn:aws:kms:<region>:<account>:key/<id>.",
    })
  }
  const privateKey = await readInput(options.key)
  try {
    const object = await seal({
      privateKey,
      certificate: String(await readInput(options.certificate)),
      chain: options.chain === undefined ? "" : String(await readInput(options.chain)),
      keyArn: options.kmsKeyId,
      region,
    })
    await writeOutput(options.output, `${JSON.stringify(object, null, 2)}\n`, region)
  } finally {
    privateKey.fill(0)
  }
  return `sealed under ${options.kmsKeyId}: ${options.output}`
}

async function readInput(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const reason = systemErrorCode(cause) ?? "unreadable"
    throw new AgentError("seal-input-unreadable", `cannot read ${path}: ${reason}`, { cause })
  }
}

async function writeOutput(output: string, body: string, region: string): Promise<void> {
  const [, bucket, key] = /^s3:\/\/([^/]+)\/(.+)$/.exec(output) ?? []
  if (output.startsWith("s3://") && key === undefined) {
    throw new AgentError("seal-output-failed", `${output} names no object`, {
      advice: "Give --output as s3://<bucket>/<key>.",
    })
  }
  try {
    if (bucket === undefined || key === undefined) {
      await writeFileAtomic(output, body, { mode: 0o600 })
      return
    }
    const forcePathStyle = process.env.AWS_ENDPOINT_URL_S3 !== undefined
    const client = new S3Client({ region, forcePathStyle })
    await client.send(
      new PutObjectCommand({
        Bucket: bucket,
        Key: key,
        Body: body,
        ContentType: "application/json",
      }),
    )
    client.destroy()
  } catch (cause) {
    const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
    throw new AgentError("seal-output-failed", `cannot write ${output}: ${reason}`, { cause })
  }
}
