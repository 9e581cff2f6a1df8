/**
 * The simulated AWS KMS: HTTPS, JSON 1.1, SigV4 on every request, one audit line for each.
 */
import { randomUUID } from "node:crypto"
import { setTimeout as delay } from "node:timers/promises"
import Fastify, { type FastifyInstance, type FastifyRequest } from "fastify"
import type { Logger } from "pino"
import { CodedError } from "../../shared/errors.js"
import { readPrincipals } from "../iam/principals.js"
import { authenticate, type SignatureErrorCode } from "../iam/sigv4.js"
import type { SimPaths } from "../paths.js"
import { readServerIdentity } from "../server-identity.js"
import { type AuditRecord, appendAudit } from "./audit.js"
import { KmsCall } from "./call.js"
import { decrypt, encrypt, generateRandom } from "./crypto-operations.js"
import { KmsError, type KmsErrorCode } from "./errors.js"
import {
  createKey,
  describeKey,
  disableKey,
  enableKey,
  getKeyPolicy,
  putKeyPolicy,
  scheduleKeyDeletion,
} from "./key-operations.js"
import { KeyStore } from "./key-store.js"
import { readRootFingerprint } from "./recipient.js"
import { CmsShaper, playFaults, readKmsSettings } from "./settings.js"

const OPERATIONS: Readonly<Record<string, (call: KmsCall) => object>> = {
  CreateKey: createKey,
  Decrypt: decrypt,
  DescribeKey: describeKey,
  DisableKey: disableKey,
  EnableKey: enableKey,
  Encrypt: encrypt,
  GenerateRandom: generateRandom,
  GetKeyPolicy: getKeyPolicy,
  PutKeyPolicy: putKeyPolicy,
  ScheduleKeyDeletion: scheduleKeyDeletion,
}

const TARGET_PREFIX = "TrentService."
const CONTENT_TYPE = "application/x-amz-json-1.1"
const SIGNING = { service: "kms", maxSkewMs: 5 * 60_000 } as const

const SIGNATURE_REFUSALS: Readonly<Record<SignatureErrorCode, [KmsErrorCode, string]>> = {
  "missing-signature": ["MissingAuthenticationTokenException", "Missing Authentication Token"],
  "malformed-signature": [
    "IncompleteSignatureException",
    "The Authorization header is not complete.",
  ],
  "wrong-scope": ["InvalidSignatureException", "Credential should be scoped to a valid region."],
  "unknown-access-key": ["UnrecognizedClientException", "The security token is invalid."],
  "wrong-session-token": ["UnrecognizedClientException", "The security token is invalid."],
  "session-expired": ["ExpiredTokenException", "The security token has expired."],
  "clock-skew": ["InvalidSignatureException", "Signature expired or not yet current."],
  "body-hash-mismatch": ["InvalidSignatureException", "The signature does not match."],
  "signature-mismatch": ["InvalidSignatureException", "The signature does not match."],
  "unsupported-payload": ["InvalidSignatureException", "The payload is not supported."],
}

/** How to run the service. */
export interface KmsServerOptions {
  paths: SimPaths
  /** File with the SHA-256 of the root that attestation documents must chain to. */
  rootFingerprintFile: string
  log: Logger
}

/** Builds the service; the caller listens and closes. */
export function buildKmsServer({
  paths,
  rootFingerprintFile,
  log,
}: KmsServerOptions): FastifyInstance {
  const store = new KeyStore(paths.kmsDir)
  const shaper = new CmsShaper()
  const app = Fastify({ https: readServerIdentity(paths, "kms"), forceCloseConnections: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body))

  app.post("/", async (request, reply) => {
    const operation = operationName(request)
    const audit = newRecord(operation)
    const settings = readKmsSettings(paths.kmsDir)
    if (settings.delayMs) await delay(settings.delayMs)
    reply.header("content-type", CONTENT_TYPE).header("x-amzn-requestid", audit.requestId)
    try {
      const principal = await authenticateCaller(request, paths)
      audit.principal = principal.arn
      playFaults(paths.kmsDir, settings)
      const run = OPERATIONS[operation]
      if (run === undefined) throw new KmsError("UnknownOperationException", "")
      const rootFingerprint = () => readRootFingerprint(rootFingerprintFile)
      const deps = { store, settings, shaper, rootFingerprint }
      const answer = run(new KmsCall(operation, principal, parseBody(request), audit, deps))
      audit.decision = "allowed"
      return JSON.stringify(answer)
    } catch (error) {
      const refusal = asKmsError(error, log)
      audit.reason = `${refusal.code}: ${refusal.message}`
      reply.status(refusal.httpStatus)
      return JSON.stringify({ __type: refusal.code, Message: refusal.message })
    } finally {
      appendAudit(paths.kmsDir, audit)
    }
  })
  return app
}

function operationName({ headers }: FastifyRequest): string {
  const target = headers["x-amz-target"]
  if (typeof target !== "string" || !target.startsWith(TARGET_PREFIX)) return "unknown"
  const name = target.slice(TARGET_PREFIX.length)
  return Object.hasOwn(OPERATIONS, name) ? name : "unknown"
}

function newRecord(operation: string): AuditRecord {
  return {
    requestId: randomUUID(),
    time: new Date().toISOString(),
    action: `kms:${operation}`,
    principal: null,
    key: null,
    decision: "refused",
    reason: "",
    recipientPcr0: null,
    encryptionContextKeys: [],
  }
}

async function authenticateCaller(request: FastifyRequest, paths: SimPaths) {
  const { method = "", url = "", headers } = request.raw
  try {
    return await authenticate(
      { method, target: url, headers, body: bodyOf(request) },
      readPrincipals(paths),
      SIGNING,
      Date.now(),
    )
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause
    const refusal = SIGNATURE_REFUSALS[cause.code as SignatureErrorCode]
    if (refusal === undefined) throw cause
    throw new KmsError(...refusal, { cause })
  }
}

function bodyOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0)
}

function parseBody(request: FastifyRequest): unknown {
  if (request.headers["content-type"] !== CONTENT_TYPE) {
    throw new KmsError("UnknownOperationException", "")
  }
  try {
    return JSON.parse(bodyOf(request).toString("utf8"))
  } catch (cause) {
    throw new KmsError("SerializationException", "", { cause })
  }
}

function asKmsError(error: unknown, log: Logger): KmsError {
  if (error instanceof KmsError) {
    log.info({ code: error.code, message: error.message }, "request refused")
    return error
  }
  log.error({ err: error }, "request failed")
  return new KmsError("KMSInternalException", "", { cause: error })
}
