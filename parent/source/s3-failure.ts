/** What a failed GetObject means: a code, a sentence, and what to do about it. */
import { S3ServiceException } from "@aws-sdk/client-s3"
import { systemErrorCode } from "../../shared/errors.js"
import { policyStatement } from "../aws/policy-statement.js"
import { AgentError, type AgentErrorCode } from "../errors.js"

/** The object that was asked for. */
export interface S3Location {
  bucket: string
  key: string
  /** `aws`, `aws-cn`, … for the ARNs in advice. */
  partition: string
}

export function objectArn({ partition, bucket, key }: S3Location): string {
  return `arn:${partition}:s3:::${bucket}/${key}`
}

/** Code, reason and advice. */
type Finding = readonly [AgentErrorCode, string, string]

/** Turns what the SDK threw into an AgentError; one that is one already is left as it is. */
export function s3Failure(error: unknown, location: S3Location): AgentError {
  if (error instanceof AgentError) return error
  const [code, reason, advice] =
    refusal(error, location) ?? credentialFault(error) ?? transportFault(error)
  const message = `s3://${location.bucket}/${location.key}: ${reason}`
  return new AgentError(code, message, { advice, cause: error })
}

function refusal(error: unknown, location: S3Location): Finding | undefined {
  const name = nameOf(error)
  switch (name) {
    case "NoSuchKey":
      return ["s3-object-not-found", "there is no such object", "Check the source's uri."]
    case "NoSuchBucket":
      return ["s3-object-not-found", "there is no such bucket", "Check the source's uri."]
    case "AccessDenied":
      return accessDenied(error, location)
    case "PermanentRedirect":
    case "AuthorizationHeaderMalformed":
      return wrongRegion(error, name)
    case "SlowDown":
    case "Throttling":
    case "ThrottlingException":
    case "RequestLimitExceeded":
      return [
        "s3-throttled",
        `S3 throttled the request (${name})`,
        "Nothing need be done: it is tried again, later each time.",
      ]
  }
  return undefined
}

/** S3 says within one account which permission is missing, and why. Keys may hold spaces. */
const MISSING =
  /not authorized to perform: ([a-z0-9-]+:\w+) on resource: "?(.+?)"?(?: because | with an explicit |$)/
const EXPLICIT_DENY = /with an explicit deny in an? ([\w-]+ policy)/

function accessDenied(error: unknown, location: S3Location): Finding {
  const text = error instanceof Error ? error.message : ""
  const [, action = "s3:GetObject", resource = objectArn(location)] = MISSING.exec(text) ?? []
  const [, denying] = EXPLICIT_DENY.exec(text) ?? []
  if (denying !== undefined) {
    const reason = `S3 refused ${action}: a ${denying} denies it explicitly`
    return ["s3-access-denied", reason, `Take ${action} on ${resource} out of that deny.`]
  }
  const statement = policyStatement(action, resource)
  if (action === "s3:ListBucket") {
    return [
      "s3-access-denied",
      "S3 refused: there is no such object, or the role may not learn that there is none",
      `Check the source's uri; to be told which, allow the role ${action}: ${statement}`,
    ]
  }
  return [
    "s3-access-denied",
    `S3 refused ${action}`,
    `Allow the instance's role ${action}, by this statement in its policy: ${statement}`,
  ]
}

function wrongRegion(error: unknown, name: string): Finding {
  const headers = error instanceof S3ServiceException ? error.$response?.headers : undefined
  const text = error instanceof Error ? error.message : ""
  const region = headers?.["x-amz-bucket-region"] ?? /expecting '([a-z0-9-]+)'/.exec(text)?.[1]
  const where = region === undefined ? "not in this region" : `in ${region}`
  return [
    "s3-wrong-region",
    `the bucket is ${where} (${name})`,
    "Set aws.region to the region of bucket and KMS key, or move the object to a bucket there.",
  ]
}

function credentialFault(error: unknown): Finding | undefined {
  const name = nameOf(error)
  switch (name) {
    case "RequestTimeTooSkewed":
      return [
        "s3-clock-skew",
        `this host's clock is not S3's (${name})`,
        "Set the clock by a time service, chrony with 169.254.169.123 on an instance.",
      ]
    case "InvalidAccessKeyId":
    case "SignatureDoesNotMatch":
    case "ExpiredToken":
    case "InvalidToken":
      return [
        "s3-access-denied",
        `S3 refused the credentials (${name})`,
        "Check the instance's role and its clock.",
      ]
    case "CredentialsProviderError":
      return [
        "credentials-unavailable",
        "no AWS credentials were found",
        "Attach an instance profile with a role to the instance.",
      ]
  }
  return undefined
}

/** OpenSSL's verdicts as Node names them: somebody answered, and is not trusted. */
const CERTIFICATE_FAULT = /CERT|ISSUER|SIGNATURE|^ERR_TLS/

function transportFault(error: unknown): Finding {
  const name = nameOf(error)
  const system = systemErrorCode(error)
  if (system === undefined && name !== "TimeoutError") {
    return ["s3-failed", `S3 failed (${name === "" ? "unknown" : name})`, ""]
  }
  const reason = `S3 could not be reached (${system ?? name})`
  return CERTIFICATE_FAULT.test(system ?? "")
    ? [
        "s3-unreachable",
        reason,
        "What answered is not S3, or a proxy: name its authority by NODE_EXTRA_CA_CERTS.",
      ]
    : [
        "s3-unreachable",
        reason,
        "Check the way from here to S3: DNS, the security group, a NAT or a VPC endpoint for S3.",
      ]
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ""
}
