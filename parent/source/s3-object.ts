/** One conditional GetObject: bounded in size and time, called off by a signal. */
import { addAbortSignal, Readable } from "node:stream"
import { GetObjectCommand, type S3Client, S3ServiceException } from "@aws-sdk/client-s3"
import { withDeadline } from "../aws/abortable.js"
import { AgentError } from "../errors.js"
import { type S3Location, s3Failure } from "./s3-failure.js"
import { fetchAborted } from "./source.js"

/** Largest key object taken: certificates, chain and 6 KiB of ciphertext fit many times over. */
const MAX_OBJECT_BYTES = 262_144
/** For one fetch, retries and body included; each attempt has time-outs of its own. */
const FETCH_TIMEOUT_MS = 60_000

export interface S3Body {
  text: string
  etag: string | undefined
}

/**
 * Gets the object unless it is the one with `etag`.
 *
 * @returns undefined where it is (304)
 * @throws AgentError `s3-*`, `credentials-unavailable`, `key-object-malformed` for one larger than
 *   256 KiB, `fetch-aborted`
 */
export async function getObject(
  client: S3Client,
  location: S3Location,
  etag: string | undefined,
  signal: AbortSignal | undefined,
): Promise<S3Body | undefined> {
  try {
    return await withDeadline(FETCH_TIMEOUT_MS, signal, (either) =>
      send(client, location, etag, either),
    )
  } catch (error) {
    if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 304) {
      return undefined
    }
    if (signal?.aborted) throw fetchAborted(nameOf(location), error)
    throw s3Failure(error, location)
  }
}

async function send(
  client: S3Client,
  location: S3Location,
  etag: string | undefined,
  abortSignal: AbortSignal,
): Promise<S3Body> {
  const command = new GetObjectCommand({
    Bucket: location.bucket,
    Key: location.key,
    ...(etag === undefined ? {} : { IfNoneMatch: etag }),
  })
  const { Body, ETag } = await client.send(command, { abortSignal })
  if (!(Body instanceof Readable)) throw new AgentError("s3-failed", `${nameOf(location)}: no body`)
  // The SDK's signal ends with the answer's head.
  addAbortSignal(abortSignal, Body)
  return { text: await readBody(Body, location), etag: ETag }
}

/** Leaving the loop destroys the stream, which would hold its connection otherwise. */
async function readBody(body: Readable, location: S3Location): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > MAX_OBJECT_BYTES) {
      throw new AgentError("key-object-malformed", `${nameOf(location)} is larger than 256 KiB`, {
        advice: "Point the source at an object that ACM or tlskeep seal wrote.",
      })
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("utf8")
}

function nameOf({ bucket, key }: S3Location): string {
  return `s3://${bucket}/${key}`
}
