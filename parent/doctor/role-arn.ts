/** ARN of the instance's role, which is part of the name under which ACM leaves certificates. */
import type { DoctorContext } from "./context.js"
import { metadata } from "./imds.js"

/** Configured, else the instance's tag, else by the instance profile's name; undefined if unknown. */
export async function roleArnOf(context: DoctorContext): Promise<string | undefined> {
  const { configuration } = context
  const configured = "config" in configuration ? configuration.config.aws.role_arn : undefined
  return configured ?? (await taggedRole(context)) ?? (await profilesRole(context))
}

async function taggedRole(context: DoctorContext): Promise<string | undefined> {
  const tag = await answer(context, "tags/instance/InstanceRoleArn")
  return tag !== undefined && /^arn:[^:]+:iam::\d{12}:role\//.test(tag) ? tag : undefined
}

/** A profile has its role's name as a rule, and so the role's account: wrong for roles with a path. */
async function profilesRole(context: DoctorContext): Promise<string | undefined> {
  const [info, names] = await Promise.all([
    answer(context, "iam/info"),
    answer(context, "iam/security-credentials/"),
  ])
  const [, account] = /"InstanceProfileArn"\s*:\s*"(arn:[^:]+:iam::\d{12}):/.exec(info ?? "") ?? []
  const [name] = (names ?? "").split("\n")
  return account === undefined || !name ? undefined : `${account}:role/${name}`
}

async function answer(context: DoctorContext, path: string): Promise<string | undefined> {
  const told = await metadata(context, path).catch(() => undefined)
  return told?.status === 200 ? told.body.trim() : undefined
}
