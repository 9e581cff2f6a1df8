/**
 * Checks the AWS Signature Version 4 of a request: signs it again with the secret that the access
 * key names and compares. Says what is wrong; each service turns that into its own error.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { Sha256 } from "@aws-crypto/sha256-js"
import { SignatureV4 } from "@smithy/signature-v4"
import { CodedError } from "../../shared/errors.js"
import { REGION } from "../paths.js"
import type { Principal } from "./principals.js"

/** What can be wrong with a request's signature. */
export type SignatureErrorCode =
  | "missing-signature"
  | "malformed-signature"
  | "wrong-scope"
  | "unknown-access-key"
  | "wrong-session-token"
  | "session-expired"
  | "clock-skew"
  | "body-hash-mismatch"
  | "signature-mismatch"
  | "unsupported-payload"

/** A request as it came in; header names in lower case. */
export interface SignedRequest {
  method: string
  /** Path and query as sent, not decoded. */
  target: string
  headers: Readonly<Record<string, string | string[] | undefined>>
  body: Uint8Array
}

/** How the service signs. */
export interface SigningRules {
  service: "kms" | "s3" | "iam"
  /** Largest difference to the client's clock: 5 minutes in general, 15 for S3. */
  maxSkewMs: number
}

const ALGORITHM = "AWS4-HMAC-SHA256"
const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{8})\/([^/,\s]+)\/([^/,\s]+)\/aws4_request,\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$/

/**
 * Finds who signed the request.
 *
 * @param principals - every set of credentials of the account.
 * @param nowMs - the service's clock.
 * @returns The principal whose secret made the signature.
 * @throws CodedError with a {@link SignatureErrorCode}; the message holds no credential.
 */
export async function authenticate(
  request: SignedRequest,
  principals: readonly Principal[],
  rules: SigningRules,
  nowMs: number,
): Promise<Principal> {
  const signature = parseAuthorization(request)
  if (signature.region !== REGION || signature.service !== rules.service) {
    throw refusal("wrong-scope", `credential should be scoped to ${REGION} and ${rules.service}`)
  }
  const principal = principals.find((one) => one.accessKeyId === signature.accessKeyId)
  if (principal === undefined) throw refusal("unknown-access-key", "no such access key")
  if (principal.sessionToken !== header(request, "x-amz-security-token")) {
    throw refusal("wrong-session-token", "the session token is not that of the access key")
  }
  if (principal.expiration !== undefined && Date.parse(principal.expiration) <= nowMs) {
    throw refusal("session-expired", "the session token has expired")
  }
  const signedAt = parseAmzDate(header(request, "x-amz-date"))
  if (Math.abs(nowMs - signedAt.getTime()) > rules.maxSkewMs) {
    throw refusal("clock-skew", `signed at ${signedAt.toISOString()}, too far from now`)
  }
  checkBodyHash(request, rules)
  const expected = await signAgain(request, signature.signedHeaders, principal, rules, signedAt)
  if (!timingSafeEqual(Buffer.from(expected, "hex"), Buffer.from(signature.value, "hex"))) {
    throw refusal("signature-mismatch", "the signature is not the one calculated here")
  }
  return principal
}

function refusal(code: SignatureErrorCode, message: string): CodedError<SignatureErrorCode> {
  return new CodedError(code, message)
}

function parseAuthorization(request: SignedRequest) {
  const authorization = header(request, "authorization")
  if (authorization === undefined) throw refusal("missing-signature", "no Authorization header")
  const match = AUTHORIZATION.exec(authorization)
  if (match === null) throw refusal("malformed-signature", `not an ${ALGORITHM} authorization`)
  const [, accessKeyId = "", date = "", region = "", service = "", headers = "", value = ""] = match
  const signedHeaders = headers.split(";")
  if (!signedHeaders.includes("host") || date !== header(request, "x-amz-date")?.slice(0, 8)) {
    throw refusal("malformed-signature", "the host is not signed or the dates differ")
  }
  // AWS demands the same of every x-amz header: an unsigned one could be the relay's.
  const unsigned = Object.keys(request.headers).find(
    (name) => name.startsWith("x-amz-") && !signedHeaders.includes(name),
  )
  if (unsigned !== undefined) throw refusal("malformed-signature", `${unsigned} is not signed`)
  return { accessKeyId, region, service, signedHeaders, value }
}

function parseAmzDate(text: string | undefined): Date {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text ?? "")
  if (match === null) throw refusal("malformed-signature", "X-Amz-Date is missing or malformed")
  const [, year, month, day, hour, minute, second] = match
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}

/** The body must be the one whose hash was signed; S3 lets a client leave it out under TLS. */
function checkBodyHash(request: SignedRequest, { service }: SigningRules): void {
  const claimed = header(request, "x-amz-content-sha256")
  if (claimed === undefined && service !== "s3") return
  if (claimed === UNSIGNED_PAYLOAD && service === "s3") return
  if (claimed?.startsWith("STREAMING-")) {
    throw refusal("unsupported-payload", "aws-chunked bodies are not simulated")
  }
  if (claimed !== createHash("sha256").update(request.body).digest("hex")) {
    throw refusal("body-hash-mismatch", "x-amz-content-sha256 is not the hash of the body")
  }
}

async function signAgain(
  request: SignedRequest,
  signedHeaders: string[],
  { accessKeyId, secretAccessKey, sessionToken }: Principal,
  { service }: SigningRules,
  signingDate: Date,
): Promise<string> {
  const signer = new SignatureV4({
    service,
    region: REGION,
    sha256: Sha256,
    credentials: {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
    uriEscapePath: service !== "s3",
    applyChecksum: false,
  })
  const [path = "/", query = ""] = splitOnce(request.target, "?")
  const headers: Record<string, string> = {}
  for (const name of signedHeaders) headers[name] = header(request, name) ?? ""
  const signed = await signer.sign(
    {
      method: request.method,
      protocol: "https:",
      hostname: headers.host ?? "",
      path,
      query: parseQuery(query),
      headers,
      body: request.body,
    },
    { signingDate, signableHeaders: new Set(signedHeaders) },
  )
  return /Signature=([0-9a-f]{64})$/.exec(signed.headers.authorization ?? "")?.[1] ?? ""
}

function header({ headers }: SignedRequest, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(",") : value
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

function parseQuery(query: string): Record<string, string | string[]> {
  const parsed: Record<string, string | string[]> = {}
  const params = new URLSearchParams(query)
  for (const name of new Set(params.keys())) {
    const values = params.getAll(name)
    parsed[name] = values.length === 1 ? (values[0] ?? "") : values
  }
  return parsed
}
