/** Changes who may decrypt with a KMS key while everything runs. */
import { PutKeyPolicyCommand } from "@aws-sdk/client-kms"
import { ROLE_ARN } from "../paths.js"
import { releaseKeyPolicy, simKmsClient } from "../seed.js"

/** Replaces a key's policy, as the administrator. */
export async function putKeyPolicy(dir: string, keyArn: string, policy: string): Promise<void> {
  const client = simKmsClient(dir)
  try {
    await client.send(
      new PutKeyPolicyCommand({ KeyId: keyArn, PolicyName: "default", Policy: policy }),
    )
  } finally {
    client.destroy()
  }
}

/** Denies the instance's role what {@link releaseKeyPolicy} allows it. */
export function denyingKeyPolicy(pcr0: string): string {
  const policy = JSON.parse(releaseKeyPolicy({ pcr0 })) as { Statement: object[] }
  const denial = {
    Sid: "Denied",
    Effect: "Deny",
    Principal: { AWS: ROLE_ARN },
    Action: "kms:Decrypt",
    Resource: "*",
  }
  return JSON.stringify({ ...policy, Statement: [...policy.Statement, denial] })
}
