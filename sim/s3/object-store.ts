/**
 * The buckets of the simulated S3: folders below `s3/`, objects as plain files in them, and beside
 * the folder a bucket's policy as `<bucket>.policy.json` and, where it is another account's than the
 * simulated one, its owner as `<bucket>.owner.json`.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { z } from "zod"
import { systemErrorCode } from "../../shared/errors.js"
import { readJson, writeFileInOneStep, writeJson } from "../files.js"
import { type Policy, resourcePolicySchema } from "../iam/policy-document.js"
import { ACCOUNT_ID } from "../paths.js"
import type { BucketAccess } from "./access.js"
import { S3Error } from "./errors.js"

/** An object as GetObject returns it. */
export interface StoredObject {
  body: Buffer
  /** MD5 in hex, in double quotes, as for an object put in one part. */
  etag: string
  lastModified: Date
}

const ownerSchema = z.strictObject({ accountId: z.string().regex(/^\d{12}$/) })

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

  /** A bucket of another account, with the policy that its owner gave it, if any. */
  adoptBucket(bucket: string, accountId: string, policy?: Policy): void {
    writeJson(this.#ownerFile(bucket), { accountId })
    if (policy !== undefined) writeJson(this.#policyFile(bucket), policy)
    this.createBucket(bucket)
  }

  access(bucket: string): BucketAccess {
    const owner = readJson(this.#ownerFile(bucket), ownerSchema)?.accountId ?? ACCOUNT_ID
    return { bucket, owner, policy: readJson(this.#policyFile(bucket), resourcePolicySchema) }
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

  #policyFile(bucket: string): string {
    return join(this.#dir, `${bucket}.policy.json`)
  }

  #ownerFile(bucket: string): string {
    return join(this.#dir, `${bucket}.owner.json`)
  }

  #path(bucket: string, key: string): string {
    return join(this.#dir, bucket, key)
  }
}

function etagOf(body: Uint8Array): string {
  return `"${createHash("md5").update(body).digest("hex")}"`
}
