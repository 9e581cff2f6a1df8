/**
 * Certificates of AWS Certificate Manager, where the association of a certificate with the
 * instance's role publishes them. Source: AWS EC2 API, AssociateEnclaveCertificateIamRole.
 */

import { policyStatement } from "../aws/policy-statement.js"
import type { Aws } from "../aws.js"
import { AgentError } from "../errors.js"
import { parseKeyObject } from "./key-object.js"
import { objectArn, type S3Location } from "./s3-failure.js"
import { getObject, type S3Body } from "./s3-object.js"
import { type Fetched, fetchAborted, type Source, underAcceptedKey } from "./source.js"

/** Last part of the bucket's name, which is AWS's own. */
const DEFAULT_SUITE = "prod"

export interface AcmSourceOptions {
  certificateArn: string
  /** Last part of the bucket's name. Default `prod`. */
  bucket?: string | undefined
  acceptedKeyId?: string | null | undefined
}

/**
 * The private key is under a KMS key of AWS's, with an attestation-based policy of AWS's. Whether it
 * admits an enclave image other than AWS's own is not published: where it does not, KMS denies.
 */
export class AcmSource implements Source {
  readonly name: string
  readonly acceptedKeyId: string | null
  readonly #aws: Aws
  readonly #suite: string
  /** What was fetched last and found good. */
  #good: { key: string; etag: string | undefined } | undefined

  constructor(aws: Aws, { certificateArn, bucket, acceptedKeyId }: AcmSourceOptions) {
    this.name = certificateArn
    this.acceptedKeyId = acceptedKeyId ?? null
    this.#aws = aws
    this.#suite = bucket ?? DEFAULT_SUITE
  }

  async fetch(signal?: AbortSignal): Promise<Fetched> {
    this.#requireRegion()
    const roleArn = await this.#roleArn(signal)
    const location = this.#locationFor(roleArn)
    // The role may be another one than last time, and its object with it.
    const etag = this.#good?.key === location.key ? this.#good.etag : undefined
    const body = await this.#get(location, roleArn, etag, signal)
    if (body === undefined) return { changed: false }
    const object = parseKeyObject(body.text, this.name)
    this.#good = { key: location.key, etag: body.etag }
    return { changed: true, object: underAcceptedKey(object, this.acceptedKeyId) }
  }

  /** AWS publishes a certificate in its own region alone. */
  #requireRegion(): void {
    const { region } = this.#aws
    const [, , , theirs] = this.name.split(":")
    if (theirs === region) return
    throw new AgentError(
      "acm-wrong-region",
      `${this.name} is a certificate of ${theirs}, and the instance is in ${region}`,
      { advice: `Request or import the certificate in ${region}, or set aws.region.` },
    )
  }

  async #roleArn(signal: AbortSignal | undefined): Promise<string> {
    try {
      return await this.#aws.roleArn(signal)
    } catch (error) {
      throw signal?.aborted ? fetchAborted(this.name, error) : error
    }
  }

  #locationFor(roleArn: string): S3Location {
    const { partition, region } = this.#aws
    const bucket = `${partition}-ec2-enclave-certificate-${region}-${this.#suite}`
    return { bucket, key: `${roleArn}/${this.name}`, partition }
  }

  async #get(
    location: S3Location,
    roleArn: string,
    etag: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<S3Body | undefined> {
    try {
      return await getObject(this.#aws.s3, location, etag, signal)
    } catch (error) {
      throw error instanceof AgentError ? this.#explain(error, location, roleArn) : error
    }
  }

  /** The bucket is AWS's: without an association S3 refuses as it does without the permission. */
  #explain(error: AgentError, location: S3Location, roleArn: string): AgentError {
    const associate = `aws ec2 associate-enclave-certificate-iam-role --region ${this.#aws.region} --certificate-arn ${this.name} --role-arn ${roleArn}`
    if (error.code === "s3-object-not-found") {
      const noBucket = nameOf(error.cause) === "NoSuchBucket"
      const why = noBucket ? `; there is no bucket ${location.bucket} either` : ""
      const check = noBucket
        ? "Check the source's bucket and aws.region, or associate it"
        : "Associate it"
      return new AgentError(
        "acm-not-associated",
        `${this.name} is not associated with the role ${roleArn}${why}`,
        { advice: `${check}: ${associate}`, cause: error },
      )
    }
    // S3's complaints about the credentials themselves are clear enough.
    if (error.code !== "s3-access-denied" || nameOf(error.cause) !== "AccessDenied") return error
    const statement = policyStatement("s3:GetObject", objectArn(location))
    return new AgentError(
      "s3-access-denied",
      `${this.name} is not associated with the role ${roleArn}, or the role may not read it (s3:GetObject)`,
      {
        advice: `Associate it: ${associate} and allow the role, by this statement in its policy: ${statement} If the instance has another role, set aws.role_arn.`,
        cause: error,
      },
    )
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ""
}
