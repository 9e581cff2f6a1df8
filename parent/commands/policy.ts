/** `tlskeep policy`: prints the policies that an image, a role and a key need. */
import { readFile } from "node:fs/promises"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError } from "../errors.js"
import { type PolicyInput, policiesFor } from "../policy/policies.js"

/** `measurements` is a file's path here. */
export interface PolicyOptions extends PolicyInput {
  json: boolean
}

/** @throws AgentError `policy-input-invalid` */
export async function policyCommand(options: PolicyOptions): Promise<string> {
  const { measurements: file, ...given } = options
  const measurements = file === undefined ? {} : { measurements: await readMeasurements(file) }
  const policies = policiesFor({ ...given, ...measurements })
  if (options.json) return JSON.stringify(policies, null, 2)
  const { rolePolicy, keyPolicy, notes } = policies
  const [, role = ""] = /\/([^/]+)$/.exec(options.roleArn) ?? []
  const attach = `aws iam put-role-policy --role-name ${role} --policy-name tlskeep --policy-document file://role-policy.json`
  const parts = [
    `Policy of the instance's role (role-policy.json):\n  ${attach}`,
    JSON.stringify(rolePolicy, null, 2),
  ]
  if (keyPolicy !== undefined) {
    const put =
      options.kmsKeyId === undefined
        ? "aws kms create-key --policy file://key-policy.json"
        : `aws kms put-key-policy --key-id ${options.kmsKeyId} --policy file://key-policy.json`
    parts.push(`Policy of the KMS key (key-policy.json):\n  ${put}`)
    parts.push(JSON.stringify(keyPolicy, null, 2))
  }
  return [...parts, ...notes.map((note) => `Note: ${note}`)].join("\n\n")
}

async function readMeasurements(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8")
  } catch (cause) {
    const reason = systemErrorCode(cause) ?? "unreadable"
    throw new AgentError("policy-input-invalid", `cannot read ${file}: ${reason}`, { cause })
  }
}
