/** Key objects in S3, fetched only when they changed. */
import { Readable } from "node:stream"
import { GetObjectCommand, type S3Client, S3ServiceException } from "@aws-sdk/client-s3"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError, type AgentErrorCode } from "../errors.js"
import { type KeyObject, parseKeyObject } from "./key-object.js"

/** What a source says when asked: what it holds now, or that it is what it was. */
export type Fetched = { changed: true; object: KeyObject } | { changed: false }

export interface Source {
  /**
   * Asks the source. The first answer is always `changed`.
   *
   * @throws AgentError `s3-*`, `key-object-*`. The next call asks as if this one had not been.
   */
  fetch(): Promise<Fetched>
}

/** Largest key object taken: certificates, chain and 6 KiB of ciphertext fit many times over. */
const MAX_OBJECT_BYTES = 262_144

export class S3Source implements Source {
  readonly #client: S3Client
  readonly #bucket: string
  readonly #key: string
  #etag: string | undefined

  /** @param uri - `s3://<bucket>/<key>`, checked by the configuration's schema */
  constructor(client: S3Client, uri: string) {
    const [, bucket = "", key = ""] = /^s3:\/\/([^/]+)\/(.+)$/.exec(uri) ?? []
    this.#client = client
    this.#bucket = bucket
    this.#key = key
  }

  async fetch(): Promise<Fetched> {
    const fetched = await this.#get()
    if (fetched === undefined) return { changed: false }
    const object = parseKeyObject(fetched.body, this.#name)
    this.#etag = fetched.etag
    return { changed: true, object }
  }

  get #name(): string {
    return `s3://${this.#bucket}/${this.#key}`
  }

  async #get(): Promise<{ body: string; etag: string | undefined } | undefined> {
    try {
      const response = await this.#client.send(
        new GetObjectCommand({
          Bucket: this.#bucket,
          Key: this.#key,
          ...(this.#etag === undefined ? {} : { IfNoneMatch: this.#etag }),
        }),
      )
      if ((response.ContentLength ?? 0) > MAX_OBJECT_BYTES) {
        // Left unread, it would hold its connection.
        if (response.Body instanceof Readable) response.Body.destroy()
        throw new AgentError("key-object-malformed", `${this.#name} is larger than 256 KiB`, {
          advice: "Point the source at an object that ACM or tlskeep seal wrote.",
        })
      }
      return { body: (await response.Body?.transformToString()) ?? "", etag: response.ETag }
    } catch (error) {
      if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 304) {
        return undefined
      }
      throw this.#failure(error)
    }
  }

  #failure(error: unknown): AgentError {
    if (error instanceof AgentError) return error
    const [code, reason, advice] = this.#classify(error)
    return new AgentError(code, `${this.#name}: ${reason}`, { advice, cause: error })
  }

  #classify(error: unknown): [AgentErrorCode, string, string] {
    const name = error instanceof Error ? error.name : ""
    switch (name) {
      case "NoSuchKey":
        return ["s3-object-not-found", "there is no such object", "Check the source's uri."]
      case "NoSuchBucket":
        return ["s3-object-not-found", "there is no such bucket", "Check the source's uri."]
      case "AccessDenied":
        return [
          "s3-access-denied",
          `S3 refused (${name})`,
          `Allow the instance's role s3:GetObject on arn:aws:s3:::${this.#bucket}/${this.#key}.`,
        ]
      case "InvalidAccessKeyId":
      case "SignatureDoesNotMatch":
      case "ExpiredToken":
      case "InvalidToken":
      case "RequestTimeTooSkewed":
        return [
          "s3-access-denied",
          `S3 refused the credentials (${name})`,
          "Check the instance's role and its clock.",
        ]
      case "PermanentRedirect":
      case "AuthorizationHeaderMalformed":
        return [
          "s3-failed",
          `the bucket is not in this region (${name})`,
          "Set aws.region to the region of bucket and KMS key.",
        ]
      case "SlowDown":
      case "ThrottlingException":
        return ["s3-throttled", "S3 throttled the request", ""]
      case "CredentialsProviderError":
        return [
          "credentials-unavailable",
          "no AWS credentials were found",
          "Attach an instance profile with a role to the instance.",
        ]
    }
    const system = systemErrorCode(error)
    if (system !== undefined || name === "TimeoutError") {
      return ["s3-unreachable", `S3 could not be reached (${system ?? name})`, ""]
    }
    return ["s3-failed", `S3 failed (${name})`, ""]
  }
}
