/** Key objects in S3, fetched only when they changed. */
import type { S3Client } from "@aws-sdk/client-s3"
import { parseKeyObject } from "./key-object.js"
import { getObject } from "./s3-object.js"
import { type Fetched, type Source, underAcceptedKey } from "./source.js"

export interface S3SourceOptions {
  acceptedKeyId?: string | null | undefined
  /** Default `aws`; for the ARNs in advice. */
  partition?: string
}

export class S3Source implements Source {
  readonly name: string
  readonly acceptedKeyId: string | null
  readonly #client: S3Client
  readonly #location: { bucket: string; key: string; partition: string }
  #etag: string | undefined

  /** @param uri - `s3://<bucket>/<key>`, checked by the configuration's schema */
  constructor(client: S3Client, uri: string, options: S3SourceOptions = {}) {
    const [, bucket = "", key = ""] = /^s3:\/\/([^/]+)\/(.+)$/.exec(uri) ?? []
    this.name = uri
    this.acceptedKeyId = options.acceptedKeyId ?? null
    this.#client = client
    this.#location = { bucket, key, partition: options.partition ?? "aws" }
  }

  async fetch(signal?: AbortSignal): Promise<Fetched> {
    const body = await getObject(this.#client, this.#location, this.#etag, signal)
    if (body === undefined) return { changed: false }
    const object = parseKeyObject(body.text, this.name)
    // Not before it is known to be good: a malformed object must not be taken for unchanged.
    this.#etag = body.etag
    return { changed: true, object: underAcceptedKey(object, this.acceptedKeyId) }
  }
}
