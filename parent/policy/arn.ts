/** ARNs as the policies need them taken apart. */
import { KMS_KEY_ARN } from "../../shared/protocol/control.js"
import { AgentError } from "../errors.js"

export interface Arn {
  arn: string
  partition: string
  region: string
  account: string
  /** What follows the account: `role/web`, `key/…`. */
  resource: string
}

const ARN = /^arn:(aws[a-z-]*):([a-z0-9-]+):([a-z0-9-]*):(\d{12}):(.+)$/
const S3_URI = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.+)$/

/** @throws AgentError `policy-input-invalid` */
export function invalid(option: string, expected: string): AgentError {
  return new AgentError("policy-input-invalid", `${option} is not ${expected}`, {
    advice: "See tlskeep policy --help.",
  })
}

function parse(option: string, text: string, service: string, expected: string): Arn {
  const [, partition, named, region, account, resource] = ARN.exec(text) ?? []
  const whole = partition !== undefined && account !== undefined && resource !== undefined
  if (!whole || region === undefined || named !== service) throw invalid(option, expected)
  return { arn: text, partition, region, account, resource }
}

export function roleArn(option: string, text: string): Arn {
  const expected = "the ARN of a role, arn:aws:iam::<account>:role/<name>"
  const role = parse(option, text, "iam", expected)
  // IAM allows these characters in paths and names, and no wildcard is among them.
  if (!/^role\/[\w+=,.@/-]+$/.test(role.resource)) throw invalid(option, expected)
  return role
}

/** A user, a role, or the account's root: whom a key policy can name. */
export function principalArn(option: string, text: string): string {
  const expected = "the ARN of a user or role, arn:aws:iam::<account>:user/<name>"
  const { arn, resource } = parse(option, text, "iam", expected)
  if (!/^(?:user|role)\/[\w+=,.@/-]+$/.test(resource)) throw invalid(option, expected)
  return arn
}

export function keyArn(option: string, text: string): Arn {
  const expected = "the ARN of a KMS key, arn:aws:kms:<region>:<account>:key/<id>"
  if (!KMS_KEY_ARN.test(text)) throw invalid(option, expected)
  return parse(option, text, "kms", expected)
}

export function certificateArn(option: string, text: string): Arn {
  const expected = "the ARN of an ACM certificate, arn:aws:acm:<region>:<account>:certificate/<id>"
  const certificate = parse(option, text, "acm", expected)
  if (!/^certificate\/[\w-]+$/.test(certificate.resource)) throw invalid(option, expected)
  return certificate
}

/** The ARN of an S3 object, in a policy's Resource. */
export function objectArn(partition: string, bucket: string, key: string): string {
  // In a Resource, these would be wildcards and variables (IAM user guide, policy variables).
  const literal = key.replace(/[*?$]/g, (character) => `\${${character}}`)
  return `arn:${partition}:s3:::${bucket}/${literal}`
}

export function parseS3Uri(option: string, uri: string): { bucket: string; key: string } {
  const [, bucket, key] = S3_URI.exec(uri) ?? []
  if (bucket === undefined || key === undefined) throw invalid(option, "s3://<bucket>/<key>")
  return { bucket, key }
}
