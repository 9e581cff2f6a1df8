/**
 * The buckets of the simulated S3: folders below `s3/`, objects as plain files in them, and a
 * bucket's policy as `<bucket>.policy.json` beside its folder.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { systemErrorCode } from "../../shared/errors.js"
import { readJson, writeFileInOneStep } from "../files.js"
import { type Policy, resourcePolicySchema } from "../iam/policy-document.js"
import { S3Error } from "./errors.js"

/** An object as GetObject returns it. */
export interface StoredObject {
  body: Buffer
  /** MD5 in hex, in double quotes, as for an object put in one part. */
  etag: string
  lastModified: Date
}

/** Bucket names and keys given to it have passed `parseAddress`. */
export class ObjectStore {
  readonly #dir: string

  constructor(s3Dir: string) {
    this.#dir = s3Dir
  }

  hasBucket(bucket: string): boolean {
    return statSync(join(this.#dir, bucket), { throwIfNoEntry: false })?.isDirectory() ?? false
  }

  createBucket(bucket: string): void {
    mkdirSync(join(this.#dir, bucket), { recursive: true })
  }

  policy(bucket: string): Policy | undefined {
    return readJson(join(this.#dir, `${bucket}.policy.json`), resourcePolicySchema)
  }

  /** @throws S3Error `NoSuchKey`. */
  get(bucket: string, key: string): StoredObject {
    const path = this.#path(bucket, key)
    try {
      const body = readFileSync(path)
      return { body, etag: etagOf(body), lastModified: statSync(path).mtime }
    } catch (cause) {
      const code = systemErrorCode(cause)
      if (code !== "ENOENT" && code !== "ENOTDIR" && code !== "EISDIR") throw cause
      throw new S3Error("NoSuchKey", "The specified key does not exist.", { cause })
    }
  }

  /** Stores an object and returns its ETag. */
  put(bucket: string, key: string, body: Uint8Array): string {
    writeFileInOneStep(this.#path(bucket, key), body)
    return etagOf(body)
  }

  #path(bucket: string, key: string): string {
    return join(this.#dir, bucket, key)
  }
}

function etagOf(body: Uint8Array): string {
  return `"${createHash("md5").update(body).digest("hex")}"`
}
