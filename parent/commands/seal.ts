/** `tlskeep seal`: files in, key object out; and a look at whether an enclave could open it. */
import { readFile } from "node:fs/promises"
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3"
import writeFileAtomic from "write-file-atomic"
import { systemErrorCode } from "../../shared/errors.js"
import { KMS_KEY_ARN } from "../../shared/protocol/control.js"
import { AgentError } from "../errors.js"
import { checkOpenable, type Finding, findingLines } from "../seal/check.js"
import { progressTo } from "../seal/progress.js"
import { seal } from "../seal/seal.js"
import type { KeyObjectJson } from "../source/key-object.js"

export interface SealOptions {
  key: string
  certificate: string
  chain?: string
  kmsKeyId: string
  /** A file, or `s3://<bucket>/<key>`. */
  output: string
  /** Look whether an enclave could open it. */
  check: boolean
  /** Of an agent on this host, for the check. */
  runDir: string
}

/**
 * Seals and says where the object went, and what a check found.
 *
 * @param terminal - shows progress where it is one
 * @throws AgentError as sealing does; `seal-check-failed` with the findings if the object, which is
 *   written then, cannot be opened
 */
export async function sealCommand(
  options: SealOptions,
  terminal: NodeJS.WriteStream,
): Promise<string> {
  const progress = progressTo(terminal)
  const [, , region] = KMS_KEY_ARN.exec(options.kmsKeyId) ?? []
  if (region === undefined) {
    throw new AgentError("malformed-key-id", "--kms-key-id is not the ARN of a KMS key", {
      advice: "Give the full ARN, arn:aws:kms:<region>:<account>:key/<id>.",
    })
  }
  const privateKey = await readInput(options.key)
  let object: KeyObjectJson
  try {
    progress.step("encrypting the private key under the KMS key")
    object = await seal({
      privateKey,
      certificate: String(await readInput(options.certificate)),
      chain: options.chain === undefined ? "" : String(await readInput(options.chain)),
      keyArn: options.kmsKeyId,
      region,
    })
  } finally {
    privateKey.fill(0)
  }
  progress.step(`writing ${options.output}`)
  await writeOutput(options.output, `${JSON.stringify(object, null, 2)}\n`, region)
  const done = `sealed under ${options.kmsKeyId}: ${options.output}`
  if (!options.check) return done
  progress.step("checking whether an enclave could open it")
  const findings = await checkOpenable({ object, region, runDir: options.runDir })
  if (findings.some(({ outcome }) => outcome === "wrong")) throw checkFailed(done, findings)
  return [done, ...findingLines(findings)].join("\n")
}

function checkFailed(done: string, findings: readonly Finding[]): AgentError {
  const told = [`${done}, but no enclave can open it`, ...findingLines(findings)]
  return new AgentError("seal-check-failed", told.join("\n"), {
    advice: "Give the KMS key the policy that tlskeep policy prints, for the image that runs.",
  })
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
