/**
 * The simulated AWS IAM: HTTPS, the Query protocol, SigV4 on every request. GetRole alone, which a
 * role must be allowed to call on itself.
 */
import { randomUUID } from "node:crypto"
import Fastify, { type FastifyInstance, type FastifyRequest } from "fastify"
import type { Logger } from "pino"
import { CodedError } from "../../shared/errors.js"
import { ACCOUNT_ID, PARTITION, type SimPaths } from "../paths.js"
import { readServerIdentity } from "../server-identity.js"
import { escapeXml } from "../xml.js"
import { conditionContext } from "./conditions.js"
import { IamError, type IamErrorCode } from "./errors.js"
import { evaluateAccess, refusalMessage } from "./evaluate.js"
import { type Principal, type Role, readPrincipals, readRoles, roleName } from "./principals.js"
import { authenticate, type SignatureErrorCode } from "./sigv4.js"

const SIGNING = { service: "iam", maxSkewMs: 5 * 60_000 } as const
const API_VERSION = "2010-05-08"
const NAMESPACE = `https://iam.amazonaws.com/doc/${API_VERSION}/`

const SIGNATURE_REFUSALS: Readonly<Record<SignatureErrorCode, [IamErrorCode, string]>> = {
  "missing-signature": ["MissingAuthenticationToken", "Request is missing Authentication Token"],
  "malformed-signature": ["IncompleteSignature", "The Authorization header is not complete."],
  "wrong-scope": ["SignatureDoesNotMatch", "Credential should be scoped to a valid region."],
  "unknown-access-key": ["InvalidClientTokenId", "The security token included is invalid."],
  "wrong-session-token": ["InvalidClientTokenId", "The security token included is invalid."],
  "session-expired": ["ExpiredToken", "The security token included in the request is expired"],
  "clock-skew": ["SignatureDoesNotMatch", "Signature expired or not yet current."],
  "body-hash-mismatch": ["SignatureDoesNotMatch", "The signature does not match."],
  "signature-mismatch": ["SignatureDoesNotMatch", "The signature does not match."],
  "unsupported-payload": ["SignatureDoesNotMatch", "The payload is not supported."],
}

/** How to run the service. */
export interface IamServerOptions {
  paths: SimPaths
  log: Logger
}

/** Builds the service; the caller listens and closes. */
export function buildIamServer({ paths, log }: IamServerOptions): FastifyInstance {
  const app = Fastify({ https: readServerIdentity(paths, "iam"), forceCloseConnections: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body))

  app.post("/", async (request, reply) => {
    const requestId = randomUUID()
    reply.type("text/xml").header("x-amzn-requestid", requestId)
    try {
      const principal = await authenticateCaller(request, paths)
      const form = new URLSearchParams(bodyOf(request).toString("utf8"))
      if (form.get("Action") !== "GetRole" || form.get("Version") !== API_VERSION) {
        throw new IamError("InvalidAction", "The simulator knows GetRole alone.")
      }
      return getRole(principal, form.get("RoleName") ?? "", readRoles(paths), requestId)
    } catch (error) {
      const refusal = asIamError(error, log)
      reply.status(refusal.httpStatus)
      return refusal.toXml(requestId)
    }
  })
  return app
}

/** Who may not look learns of no role whether it is there. */
function getRole(caller: Principal, name: string, roles: readonly Role[], id: string): string {
  if (!/^[\w+=,.@-]{1,64}$/.test(name)) throw new IamError("ValidationError", "Bad role name")
  const role = roles.find(({ arn }) => roleName(arn) === name)
  const resource = role?.arn ?? `arn:${PARTITION}:iam::${ACCOUNT_ID}:role/${name}`
  const access = {
    principal: caller,
    action: "iam:GetRole",
    resource,
    context: conditionContext([]),
  }
  const decision = evaluateAccess(access, undefined, "may-allow")
  if (!decision.allowed) throw new IamError("AccessDenied", refusalMessage(access, decision))
  if (role === undefined) {
    throw new IamError("NoSuchEntity", `The role with name ${name} cannot be found.`)
  }
  return roleXml(role.arn, id)
}

function roleXml(arn: string, requestId: string): string {
  const path = arn.slice(arn.indexOf("/"), arn.lastIndexOf("/") + 1)
  const fields = {
    Path: path,
    Arn: arn,
    RoleName: roleName(arn),
    RoleId: "AROAIOSFODNN7EXAMPLE1",
    CreateDate: "2024-01-01T00:00:00Z",
    AssumeRolePolicyDocument: encodeURIComponent(TRUST_POLICY),
    MaxSessionDuration: "3600",
  }
  const elements = Object.entries(fields).map(
    ([name, value]) => `<${name}>${escapeXml(value)}</${name}>`,
  )
  return (
    `<GetRoleResponse xmlns="${NAMESPACE}"><GetRoleResult><Role>${elements.join("")}</Role>` +
    `</GetRoleResult><ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata>` +
    "</GetRoleResponse>"
  )
}

const TRUST_POLICY = JSON.stringify({
  Version: "2012-10-17",
  Statement: [
    { Effect: "Allow", Principal: { Service: "ec2.amazonaws.com" }, Action: "sts:AssumeRole" },
  ],
})

async function authenticateCaller(request: FastifyRequest, paths: SimPaths): Promise<Principal> {
  const { method = "", url = "", headers } = request.raw
  try {
    const signed = { method, target: url, headers, body: bodyOf(request) }
    return await authenticate(signed, readPrincipals(paths), SIGNING, Date.now())
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause
    const refusal = SIGNATURE_REFUSALS[cause.code as SignatureErrorCode]
    if (refusal === undefined) throw cause
    throw new IamError(...refusal, { cause })
  }
}

function bodyOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0)
}

function asIamError(error: unknown, log: Logger): IamError {
  if (error instanceof IamError) {
    log.info({ code: error.code }, "request refused")
    return error
  }
  log.error({ err: error }, "request failed")
  return new IamError("ServiceFailure", "We failed; the log says why.", { cause: error })
}
