/** Credentials: what the agent asks AWS with, and what the enclave asks KMS with. */
import type { DoctorContext } from "../context.js"
import { reasonOf } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import { regionOf } from "../region.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("credentials")
const EXPIRING_MS = 5 * 60_000

/** Of credentials, nothing but what may be shown. */
export interface CredentialFacts {
  temporary: boolean
  expiresAt: number | undefined
}

export type CredentialProbe = { facts: CredentialFacts } | { failed: string }

/** Whether the SDK's default chain finds credentials. */
export async function findCredentials(context: DoctorContext): Promise<CredentialProbe> {
  const region = await context.once(regionOf)
  const { s3 } = context.aws(region ?? "us-east-1")
  try {
    const { sessionToken, expiration } = await s3.config.credentials()
    return {
      facts: { temporary: sessionToken !== undefined, expiresAt: expiration?.getTime() },
    }
  } catch (error) {
    return { failed: reasonOf(error) }
  } finally {
    s3.destroy()
  }
}

export const credentials: HostCheck = {
  name: "credentials",
  run: async (context) => {
    const region = await context.once(regionOf)
    return [
      ...(region === undefined ? [unknownRegion()] : []),
      credentialFinding(await context.once(findCredentials), context.now()),
    ]
  },
}

function unknownRegion(): Finding {
  return report.problem(
    "region-unknown",
    "the AWS region is not known",
    "Neither aws.region nor AWS_REGION is set, and the metadata service does not tell.",
    "Set aws.region in the configuration.",
  )
}

function credentialFinding(probe: CredentialProbe, now: number): Finding {
  if ("failed" in probe) {
    return report.problem(
      "credentials-unavailable",
      "no AWS credentials were found",
      `The SDK's default chain ends with ${probe.failed}.`,
      "Attach an instance profile with a role to the instance.",
    )
  }
  const { temporary, expiresAt } = probe.facts
  if (!temporary) {
    return report.warning(
      "credentials-long-lived",
      "the credentials never end",
      "They are an access key from the environment or a file, which can be copied and used elsewhere.",
      "Take them away and let the instance's role give temporary ones.",
    )
  }
  if (expiresAt === undefined) return report.ok("temporary credentials are there")
  const left = expiresAt - now
  const at = new Date(expiresAt).toISOString()
  if (left <= 0) {
    return report.problem(
      "credentials-expired",
      "the credentials have ended",
      `They ended at ${at}.`,
      "Renew them; where they come from the metadata service, look at the instance's clock.",
    )
  }
  if (left < EXPIRING_MS) {
    return report.warning(
      "credentials-expiring",
      "the credentials are about to end",
      `They end at ${at}. The metadata service renews its own in time.`,
      "Renew them if they come from a file or the environment.",
    )
  }
  return report.ok("temporary credentials are there", `They end at ${at}.`)
}
