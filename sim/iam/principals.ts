/**
 * Who may call: the access keys and roles of the simulated account, kept in `iam.json`. One
 * administrator with a lasting key, and the sessions of the instance's role that IMDS hands out and
 * renews.
 */
import { randomBytes } from "node:crypto"
import { z } from "zod"
import { readJson, writeJson } from "../files.js"
import { ACCOUNT_ID, ADMIN_ARN, INSTANCE_ID, ROLE_ARN, type SimPaths } from "../paths.js"
import { type Policy, policySchema } from "./policy-document.js"

const principalSchema = z.strictObject({
  accessKeyId: z.string().min(16),
  secretAccessKey: z.string().min(1),
  /** A session's token; lasting keys have none. */
  sessionToken: z.string().min(1).optional(),
  /** ISO 8601; after it the session is refused as expired. */
  expiration: z.iso.datetime().optional(),
  arn: z.string().startsWith("arn:"),
  /** The role that a session was assumed from. */
  roleArn: z.string().startsWith("arn:").optional(),
  /** Identity-based policy, as attached to the user or role. */
  policy: policySchema,
})
const roleSchema = z.strictObject({
  arn: z.string().regex(/^arn:aws:iam::\d{12}:role\/(?:[\w+=,.@-]+\/)*[\w+=,.@-]+$/),
  /** Identity-based policy, as attached to the role. */
  policy: policySchema,
})
const iamSchema = z.strictObject({
  principals: z.array(principalSchema),
  /** The last one is the instance's, if there is any; else it has the simulator's own. */
  roles: z.array(roleSchema).default([]),
})

/** One set of credentials and what they stand for. */
export type Principal = z.infer<typeof principalSchema>

/** A role that IAM knows. */
export type Role = z.infer<typeof roleSchema>

/** How long a session of the instance role lasts, as on EC2. */
export const SESSION_TTL_SECS = 6 * 3600

const ADMINISTRATOR_ACCESS: Policy = {
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
}

/**
 * What AWS's guide attaches to the instance's role. kms:Decrypt is there on purpose: a key policy
 * that delegates to the account's root lets the role decrypt without any attestation.
 */
function instanceRolePolicy(roleArn: string): Policy {
  return {
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Action: ["s3:GetObject", "s3:ListBucket"], Resource: "*" },
      { Effect: "Allow", Action: "kms:Decrypt", Resource: "*" },
      { Effect: "Allow", Action: "iam:GetRole", Resource: roleArn },
    ],
  }
}

/** All principals of `iam.json`; none if there is no such file. */
export function readPrincipals(paths: SimPaths): Principal[] {
  return readIam(paths).principals
}

/** The roles of the account. */
export function readRoles(paths: SimPaths): Role[] {
  return [{ arn: ROLE_ARN, policy: instanceRolePolicy(ROLE_ARN) }, ...readIam(paths).roles]
}

/** The role that the instance's profile names. */
export function instanceRole(paths: SimPaths): Role {
  const roles = readRoles(paths)
  return roles[roles.length - 1] ?? { arn: ROLE_ARN, policy: instanceRolePolicy(ROLE_ARN) }
}

/** Makes a role, of any path, and gives it to the instance in place of the one it had. */
export function attachRole(paths: SimPaths, arn: string, policy = instanceRolePolicy(arn)): void {
  const { principals, roles } = readIam(paths)
  const role = roleSchema.parse({ arn, policy })
  const others = roles.filter((one) => one.arn !== arn)
  // What is attached to a role holds for the sessions that it has.
  const current = principals.map((one) => (one.roleArn === arn ? { ...one, policy } : one))
  writeIam(paths, { principals: current, roles: [...others, role] })
}

/** Without path: `web` of `role/servers/web`. */
export function roleName(roleArn: string): string {
  return roleArn.slice(roleArn.lastIndexOf("/") + 1)
}

function readIam(paths: SimPaths): z.infer<typeof iamSchema> {
  return readJson(paths.iamFile, iamSchema) ?? { principals: [], roles: [] }
}

/** Makes the administrator and a first session of the role if they are not there. */
export function ensurePrincipals(paths: SimPaths): void {
  const principals = readPrincipals(paths)
  if (!principals.some(({ arn }) => arn === ADMIN_ARN)) {
    principals.push({
      accessKeyId: accessKeyId("AKIA"),
      secretAccessKey: randomBytes(30).toString("base64"),
      arn: ADMIN_ARN,
      policy: ADMINISTRATOR_ACCESS,
    })
    writePrincipals(paths, principals)
  }
  currentRoleSession(paths, SESSION_TTL_SECS)
}

/** The administrator, for tools that seed the account. */
export function readAdmin(paths: SimPaths): Principal {
  const admin = readPrincipals(paths).find(({ arn }) => arn === ADMIN_ARN)
  if (admin === undefined) throw new Error(`${paths.iamFile} has no administrator`)
  return admin
}

/**
 * The session of the instance's role to hand out now. A new one is made when the newest has lived
 * half of `ttlSecs` or was made for longer; older ones stay good until they expire.
 */
export function currentRoleSession(
  paths: SimPaths,
  ttlSecs: number,
): Principal & { sessionToken: string; expiration: string } {
  const principals = readPrincipals(paths)
  const role = instanceRole(paths)
  const now = Date.now()
  for (const principal of principals.toReversed()) {
    const { roleArn, sessionToken, expiration } = principal
    if (roleArn !== role.arn || sessionToken === undefined || expiration === undefined) continue
    const remainingMs = Date.parse(expiration) - now
    if (remainingMs > (ttlSecs * 1000) / 2 && remainingMs <= ttlSecs * 1000) {
      return { ...principal, sessionToken, expiration }
    }
  }
  const session = {
    accessKeyId: accessKeyId("ASIA"),
    secretAccessKey: randomBytes(30).toString("base64"),
    sessionToken: randomBytes(180).toString("base64"),
    expiration: new Date(now + ttlSecs * 1000).toISOString(),
    arn: `arn:aws:sts::${ACCOUNT_ID}:assumed-role/${roleName(role.arn)}/${INSTANCE_ID}`,
    roleArn: role.arn,
    policy: role.policy,
  }
  // Sessions long expired are forgotten, so that the file does not grow for ever.
  const kept = principals.filter(({ expiration }) => !endedBefore(expiration, now - 3_600_000))
  writePrincipals(paths, [...kept, session])
  return session
}

function endedBefore(expiration: string | undefined, instantMs: number): boolean {
  return expiration !== undefined && Date.parse(expiration) < instantMs
}

function writePrincipals(paths: SimPaths, principals: Principal[]): void {
  writeIam(paths, { ...readIam(paths), principals })
}

function writeIam(paths: SimPaths, iam: z.infer<typeof iamSchema>): void {
  writeJson(paths.iamFile, iam, 0o600)
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

function accessKeyId(prefix: "AKIA" | "ASIA"): string {
  return prefix + Array.from(randomBytes(16), (byte) => BASE32[byte & 31]).join("")
}
