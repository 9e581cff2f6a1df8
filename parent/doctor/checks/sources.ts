/** Whether each token's key object can be read, asked for without its body. */
import { access, constants } from "node:fs/promises"
import { HeadObjectCommand, type S3Client, S3ServiceException } from "@aws-sdk/client-s3"
import pLimit from "p-limit"
import type { Config, SourceConfig } from "../../config/config.js"
import { type DoctorContext, reasonOf } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import { partitionOf, regionOf } from "../region.js"
import { roleArnOf } from "../role-arn.js"
import type { ConfiguredCheck } from "../run.js"

const report = new Reporter("sources")
const PARALLEL = 8

interface S3Place {
  bucket: string
  key: string
  partition: string
}

/** One look at a place that tokens take their key object from. */
type Look = (labels: string) => Promise<Finding | undefined>

export const sources: ConfiguredCheck = {
  name: "sources",
  runConfigured: async (context, config) => {
    const region = await context.once(regionOf)
    const { s3 } = context.aws(region ?? "us-east-1")
    const limit = pLimit(PARALLEL)
    try {
      const found = await Promise.all(
        config.tokens.map(({ label, source }) =>
          limit(async () => (await lookAt(context, s3, region, source))(`token ${label}`)),
        ),
      )
      const findings = found.filter((finding) => finding !== undefined)
      return findings.length > 0 ? findings : [report.ok(allReadable(config))]
    } finally {
      s3.destroy()
    }
  },
}

function allReadable({ tokens }: Config): string {
  return tokens.length === 1
    ? "the token's key object can be read"
    : `the key objects of all ${tokens.length} tokens can be read`
}

async function lookAt(
  context: DoctorContext,
  s3: S3Client,
  region: string | undefined,
  source: SourceConfig,
): Promise<Look> {
  if (source.kind === "FileDb") return (token) => fileFinding(source.path, token)
  const partition = partitionOf(region ?? "")
  if (source.kind === "S3") {
    const [, bucket = "", key = ""] = /^s3:\/\/([^/]+)\/(.+)$/.exec(source.uri) ?? []
    return (token) => objectFinding(s3, { bucket, key, partition }, token)
  }
  const roleArn = await context.once(roleArnOf)
  if (roleArn === undefined || region === undefined) return async (token) => unknownRole(token)
  // As the association leaves it, see docs/ec2.md.
  const bucket = `${partition}-ec2-enclave-certificate-${region}-${source.bucket ?? "prod"}`
  const key = `${roleArn}/${source.certificate_arn}`
  return (token) => objectFinding(s3, { bucket, key, partition }, token)
}

async function objectFinding(
  s3: S3Client,
  place: S3Place,
  token: string,
): Promise<Finding | undefined> {
  try {
    await s3.send(new HeadObjectCommand({ Bucket: place.bucket, Key: place.key }))
    return undefined
  } catch (error) {
    return classify(error, place, token)
  }
}

/** A HEAD is answered without a body, so S3's own code may be missing: the status tells. */
function classify(error: unknown, { bucket, key, partition }: S3Place, token: string): Finding {
  const name = `s3://${bucket}/${key}`
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
  switch (status) {
    case 404:
      return report.problem(
        "source-not-found",
        `${token}: its key object is not there`,
        name,
        "Check the source; seal the key there (tlskeep seal), or associate the certificate with this instance's role.",
      )
    case 401:
    case 403:
      return report.problem(
        "source-access-denied",
        `${token}: S3 refuses its key object`,
        name,
        `Allow the instance's role s3:GetObject on arn:${partition}:s3:::${bucket}/${key}. Without s3:ListBucket a missing object is refused like this, too.`,
      )
    case 301:
    case 400:
      return report.problem(
        "source-elsewhere",
        `${token}: the bucket is in another region, or the request was not understood`,
        `${name}: ${status} ${reasonOf(error)}`,
        "Set aws.region to the region of bucket and KMS key.",
      )
    case undefined:
      return report.problem(
        "source-unreachable",
        `${token}: S3 cannot be reached`,
        `${name}: ${reasonOf(error)}`,
        "Check credentials, DNS, the outbound port 443, and the policy of a VPC endpoint for s3.",
      )
    default:
      return report.unknown(
        "source-failed",
        `${token}: S3 failed`,
        `${name}: ${status} ${reasonOf(error)}`,
        "Try again in a minute.",
      )
  }
}

async function fileFinding(path: string, token: string): Promise<Finding | undefined> {
  try {
    await access(path, constants.R_OK)
    return undefined
  } catch (error) {
    return report.problem(
      "source-not-found",
      `${token}: its key file cannot be read`,
      `${path}: ${reasonOf(error)}`,
      "Put the file there (tlskeep seal --output), readable for root, or correct the source's path.",
    )
  }
}

function unknownRole(token: string): Finding {
  return report.problem(
    "role-arn-unknown",
    `${token}: where ACM left its key object is not known`,
    "Its name holds the region and the ARN of the instance's role, and the metadata service tells neither.",
    "Set aws.role_arn and aws.region in the configuration.",
  )
}
