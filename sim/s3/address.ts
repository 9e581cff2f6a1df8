/**
 * Which bucket and key a request means: path style (`/bucket/key`) or virtual-host style
 * (`bucket.s3.…` or `bucket.localhost`).
 */
import { S3_HOST } from "../paths.js"
import { S3Error } from "./errors.js"

/** Bucket and key; the key is undefined for a request about the bucket itself. */
export interface S3Address {
  bucket: string
  key: string | undefined
}

const BUCKET_NAME = /^[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]$/
/** Amazon S3 user guide, "Naming objects": at most 1024 bytes of UTF-8. */
const MAX_KEY_BYTES = 1024
/** A path component of the file system here; real keys have no such limit. */
const MAX_SEGMENT_BYTES = 255
const HOST_SUFFIXES = [`.${S3_HOST}`, ".localhost"]

/**
 * Reads the address of a request.
 *
 * @param host - the Host header, with or without a port.
 * @param target - path and query as sent.
 * @throws S3Error `InvalidURI` or `InvalidBucketName`; among the first a key that no file below
 *   the bucket's folder can have: with an empty, `.` or `..` segment or a NUL.
 */
export function parseAddress(host: string, target: string): S3Address {
  const path = decodePath(target.split("?", 1)[0] ?? "/")
  const hostBucket = bucketOfHost(host.replace(/:\d+$/, "").toLowerCase())
  const [first = "", ...rest] = path.slice(1).split("/")
  const bucket = hostBucket ?? first
  const key = hostBucket === undefined ? rest.join("/") : path.slice(1)
  if (!BUCKET_NAME.test(bucket) || bucket.includes("..")) {
    throw new S3Error("InvalidBucketName", "The specified bucket is not valid.")
  }
  return { bucket, key: key === "" ? undefined : checkKey(key) }
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch (cause) {
    throw new S3Error("InvalidURI", "Couldn't parse the specified URI.", { cause })
  }
}

function bucketOfHost(name: string): string | undefined {
  const suffix = HOST_SUFFIXES.find((one) => name.endsWith(one) && name.length > one.length)
  return suffix && name.slice(0, -suffix.length)
}

function checkKey(key: string): string {
  const unusable =
    Buffer.byteLength(key) > MAX_KEY_BYTES ||
    key.includes("\0") ||
    key
      .split("/")
      .some(
        (segment) =>
          segment === "" ||
          segment === "." ||
          segment === ".." ||
          Buffer.byteLength(segment) > MAX_SEGMENT_BYTES,
      )
  if (unusable) throw new S3Error("InvalidURI", "The simulator keeps no object of this key.")
  return key
}
