/**
 * The simulated Amazon S3: HTTPS, XML errors, SigV4 on every request. GetObject (whole, with
 * If-None-Match), HeadObject, PutObject, CreateBucket and HeadBucket.
 */
import { createHash, randomBytes } from "node:crypto"
import { setTimeout as delay } from "node:timers/promises"
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify"
import type { Logger } from "pino"
import { CodedError } from "../../shared/errors.js"
import { type Principal, readPrincipals } from "../iam/principals.js"
import { authenticate, type SignatureErrorCode } from "../iam/sigv4.js"
import { ACCOUNT_ID, REGION, type SimPaths } from "../paths.js"
import { readServerIdentity } from "../server-identity.js"
import { authorize } from "./access.js"
import { parseAddress, type S3Address } from "./address.js"
import { S3Error, type S3ErrorCode } from "./errors.js"
import { ObjectStore } from "./object-store.js"
import { playFaults, readS3Settings } from "./settings.js"

const SIGNING = { service: "s3", maxSkewMs: 15 * 60_000 } as const
const MAX_OBJECT_BYTES = 16 * 1024 * 1024

const SIGNATURE_REFUSALS: Readonly<Record<SignatureErrorCode, [S3ErrorCode, string]>> = {
  "missing-signature": ["AccessDenied", "Access Denied"],
  "malformed-signature": ["AuthorizationHeaderMalformed", "The authorization header is malformed."],
  "wrong-scope": [
    "AuthorizationHeaderMalformed",
    `The authorization header is malformed; the region is wrong; expecting '${REGION}'`,
  ],
  "unknown-access-key": ["InvalidAccessKeyId", "No such access key."],
  "wrong-session-token": ["InvalidToken", "The token is not that of the access key."],
  "session-expired": ["ExpiredToken", "The token has expired."],
  "clock-skew": ["RequestTimeTooSkewed", "The time differs too much from the server's."],
  "body-hash-mismatch": ["XAmzContentSHA256Mismatch", "The body's hash is not the one signed."],
  "signature-mismatch": ["SignatureDoesNotMatch", "The signature is not the one calculated."],
  "unsupported-payload": ["NotImplemented", "aws-chunked bodies are not simulated."],
}

/** How to run the service. */
export interface S3ServerOptions {
  paths: SimPaths
  log: Logger
}

interface S3Call {
  principal: Principal
  address: S3Address
  store: ObjectStore
  request: FastifyRequest
  reply: FastifyReply
}

/** Builds the service; the caller listens and closes. */
export function buildS3Server({ paths, log }: S3ServerOptions): FastifyInstance {
  const store = new ObjectStore(paths.s3Dir)
  const app = Fastify({
    https: readServerIdentity(paths, "s3"),
    bodyLimit: MAX_OBJECT_BYTES,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body))

  // Keys are read from the raw target: a router's own decoding would blur what was signed.
  app.all("*", async (request, reply) => {
    const requestId = randomBytes(8).toString("hex").toUpperCase()
    reply.header("x-amz-request-id", requestId).header("server", "AmazonS3")
    const settings = readS3Settings(paths)
    if (settings.delayMs) await delay(settings.delayMs)
    try {
      playFaults(paths, settings)
      const principal = await authenticateCaller(request, paths)
      const address = parseAddress(request.headers.host ?? "", request.raw.url ?? "/")
      return serve({ principal, address, store, request, reply })
    } catch (error) {
      const refusal = asS3Error(error, log)
      reply.status(refusal.httpStatus).type("application/xml")
      return refusal.toXml(request.raw.url ?? "/", requestId)
    }
  })
  return app
}

function serve(call: S3Call): FastifyReply | Buffer | string {
  const { address, request } = call
  const { bucket, key } = address
  if (key === undefined) return serveBucket(call)
  if (!call.store.hasBucket(bucket)) throw noSuchBucket()
  switch (request.method) {
    case "GET":
    case "HEAD":
      return getObject(call, bucket, key)
    case "PUT":
      return putObject(call, bucket, key)
    default:
      throw new S3Error("MethodNotAllowed", "The simulator does not do this to objects.")
  }
}

function serveBucket({ address: { bucket }, principal, request, reply, store }: S3Call) {
  switch (request.method) {
    case "PUT":
      authorize(
        principal,
        { action: "s3:CreateBucket" },
        { bucket, owner: ACCOUNT_ID, policy: undefined },
      )
      if (store.hasBucket(bucket)) {
        if (store.access(bucket).owner === ACCOUNT_ID) {
          throw new S3Error("BucketAlreadyOwnedByYou", "The bucket is there and yours.")
        }
        throw new S3Error("BucketAlreadyExists", "The bucket's name is taken.")
      }
      store.createBucket(bucket)
      return reply.header("location", `/${bucket}`).send("")
    case "HEAD":
      if (!store.hasBucket(bucket)) throw noSuchBucket()
      authorize(principal, { action: "s3:ListBucket" }, store.access(bucket))
      return reply.header("x-amz-bucket-region", REGION).send("")
    default:
      throw new S3Error("MethodNotAllowed", "The simulator does not do this to buckets.")
  }
}

function getObject({ principal, request, reply, store }: S3Call, bucket: string, key: string) {
  authorize(principal, { action: "s3:GetObject", key }, store.access(bucket))
  const object = getOrDeny(store, principal, bucket, key)
  reply
    .header("etag", object.etag)
    .header("last-modified", object.lastModified.toUTCString())
    .header("accept-ranges", "bytes")
  if (etagMatches(request.headers["if-none-match"], object.etag)) return reply.status(304).send()
  reply.type("binary/octet-stream").header("content-length", object.body.length)
  return reply.send(request.method === "HEAD" ? undefined : object.body)
}

function putObject({ principal, request, reply, store }: S3Call, bucket: string, key: string) {
  authorize(principal, { action: "s3:PutObject", key }, store.access(bucket))
  const body = bodyOf(request)
  const md5 = request.headers["content-md5"]
  if (md5 !== undefined && md5 !== createHash("md5").update(body).digest("base64")) {
    throw new S3Error("BadDigest", "Content-MD5 is not that of the body.")
  }
  return reply.header("etag", store.put(bucket, key, body)).send("")
}

/** Without s3:ListBucket a caller may not learn that an object is missing. */
function getOrDeny(store: ObjectStore, principal: Principal, bucket: string, key: string) {
  try {
    return store.get(bucket, key)
  } catch (error) {
    if (error instanceof S3Error && error.code === "NoSuchKey") {
      authorize(principal, { action: "s3:ListBucket" }, store.access(bucket))
    }
    throw error
  }
}

function noSuchBucket(): S3Error {
  return new S3Error("NoSuchBucket", "The specified bucket does not exist.")
}

/** If-None-Match, RFC 9110 §13.1.2; a weak mark does not matter to it. */
function etagMatches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.split(",").some((one) => {
    const wanted = one.trim().replace(/^W\//, "")
    return wanted === "*" || wanted === etag
  })
}

async function authenticateCaller(request: FastifyRequest, paths: SimPaths): Promise<Principal> {
  const { method = "", url = "", headers } = request.raw
  try {
    const principals = readPrincipals(paths)
    const signed = { method, target: url, headers, body: bodyOf(request) }
    return await authenticate(signed, principals, SIGNING, Date.now())
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause
    const refusal = SIGNATURE_REFUSALS[cause.code as SignatureErrorCode]
    if (refusal === undefined) throw cause
    throw new S3Error(...refusal, { cause })
  }
}

function bodyOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0)
}

function asS3Error(error: unknown, log: Logger): S3Error {
  if (error instanceof S3Error) {
    log.info({ code: error.code }, "request refused")
    return error
  }
  log.error({ err: error }, "request failed")
  return new S3Error("InternalError", "We failed; the log says why.", { cause: error })
}
