/**
 * The simulated instance metadata service, version 2 only: a session token first, then the paths
 * that the agent and the AWS SDKs read. Source: Amazon EC2 user guide, "Instance metadata".
 */
import { randomBytes } from "node:crypto"
import { setTimeout as delay } from "node:timers/promises"
import Fastify, { type FastifyInstance } from "fastify"
import { currentRoleSession, instanceRole, roleName } from "../iam/principals.js"
import {
  ACCOUNT_ID,
  INSTANCE_ID,
  INSTANCE_PROFILE_ARN,
  PARTITION,
  REGION,
  type SimPaths,
} from "../paths.js"
import { readImdsSettings } from "./settings.js"

const TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"
const TOKEN_HEADER = "x-aws-ec2-metadata-token"
const MAX_TTL_SECS = 21_600
const AVAILABILITY_ZONE = `${REGION}a`

/** How to run the service. */
export interface ImdsServerOptions {
  paths: SimPaths
  /** Life of the role's sessions, in seconds. */
  sessionTtlSecs: number
}

/** Builds the service; the caller listens and closes. */
export function buildImdsServer({ paths, sessionTtlSecs }: ImdsServerOptions): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true })
  const tokens = new TokenBook()
  app.removeAllContentTypeParsers()
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body))

  app.put("/latest/api/token", async (request, reply) => {
    const { tokenStatus, delayMs = 0 } = readImdsSettings(paths)
    if (delayMs > 0) await delay(delayMs)
    if (tokenStatus !== undefined) return reply.status(tokenStatus).send("")
    // A request that came through a proxy must not get a token.
    if (request.headers["x-forwarded-for"] !== undefined) return reply.status(403).send("")
    const ttl = Number(request.headers[TTL_HEADER])
    if (!Number.isInteger(ttl) || ttl < 1 || ttl > MAX_TTL_SECS) return reply.status(400).send("")
    return reply.header(TTL_HEADER, ttl).type("text/plain").send(tokens.issue(ttl))
  })

  app.get("/latest/*", async (request, reply) => {
    const { status, delayMs = 0 } = readImdsSettings(paths)
    if (delayMs > 0) await delay(delayMs)
    const token = request.headers[TOKEN_HEADER]
    const ttl = typeof token === "string" ? tokens.remainingSecs(token) : 0
    if (ttl <= 0) return reply.status(401).type("text/plain").send("")
    if (status !== undefined) return reply.status(status).send("")
    const path = (request.raw.url ?? "").split("?", 1)[0]?.replace(/\/$/, "") ?? ""
    const document = metadata(paths, sessionTtlSecs).get(path)
    reply.header(TTL_HEADER, ttl).type("text/plain")
    return document === undefined ? reply.status(404).send("") : reply.send(document())
  })
  return app
}

/** Session tokens and when they end. */
class TokenBook {
  readonly #endsAt = new Map<string, number>()

  issue(ttlSecs: number): string {
    const now = Date.now()
    for (const [token, endsAt] of this.#endsAt) if (endsAt <= now) this.#endsAt.delete(token)
    const token = randomBytes(40).toString("base64")
    this.#endsAt.set(token, now + ttlSecs * 1000)
    return token
  }

  remainingSecs(token: string): number {
    return Math.ceil(((this.#endsAt.get(token) ?? 0) - Date.now()) / 1000)
  }
}

/** Every path with what it answers; folders list their entries, as the real service does. */
function metadata(paths: SimPaths, sessionTtlSecs: number): Map<string, () => string> {
  const base = "/latest/meta-data"
  const credentials = `${base}/iam/security-credentials`
  const role = instanceRole(paths)
  const { instanceTags = true } = readImdsSettings(paths)
  const tags: [string, () => string][] = [
    [`${base}/tags/instance`, () => "InstanceRoleArn"],
    [`${base}/tags/instance/InstanceRoleArn`, () => role.arn],
  ]
  return new Map<string, () => string>([
    [`${base}/ami-id`, () => "ami-0123456789abcdef0"],
    [`${base}/instance-id`, () => INSTANCE_ID],
    [`${base}/instance-type`, () => "c6i.xlarge"],
    [`${base}/placement/availability-zone`, () => AVAILABILITY_ZONE],
    [`${base}/placement/region`, () => REGION],
    [`${base}/services/domain`, () => "amazonaws.com"],
    [`${base}/services/partition`, () => PARTITION],
    ...(instanceTags ? tags : []),
    [`${base}/iam/info`, instanceProfile],
    [credentials, () => roleName(role.arn)],
    [`${credentials}/${roleName(role.arn)}`, () => roleCredentials(paths, sessionTtlSecs)],
    ["/latest/dynamic/instance-identity/document", identityDocument],
  ])
}

function instanceProfile(): string {
  return json({
    Code: "Success",
    LastUpdated: timestamp(new Date()),
    InstanceProfileArn: INSTANCE_PROFILE_ARN,
    InstanceProfileId: "AIPAIOSFODNN7EXAMPLE1",
  })
}

function roleCredentials(paths: SimPaths, ttlSecs: number): string {
  const session = currentRoleSession(paths, ttlSecs)
  return json({
    Code: "Success",
    LastUpdated: timestamp(new Date()),
    Type: "AWS-HMAC",
    AccessKeyId: session.accessKeyId,
    SecretAccessKey: session.secretAccessKey,
    Token: session.sessionToken,
    Expiration: timestamp(new Date(session.expiration)),
  })
}

function identityDocument(): string {
  return json({
    accountId: ACCOUNT_ID,
    architecture: "x86_64",
    availabilityZone: AVAILABILITY_ZONE,
    imageId: "ami-0123456789abcdef0",
    instanceId: INSTANCE_ID,
    instanceType: "c6i.xlarge",
    privateIp: "10.0.0.10",
    region: REGION,
    version: "2017-09-30",
  })
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2)
}

/** ISO 8601 without fractions, as IMDS writes it. */
function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`
}
