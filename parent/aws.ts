/** AWS as the host side sees it: where the instance is, which role it has, and the SDK's clients. */
import { IAMClient } from "@aws-sdk/client-iam"
import { S3Client } from "@aws-sdk/client-s3"
import type { Logger } from "pino"
import type { ControlCredentials } from "../shared/protocol/control.js"
import { withDeadline } from "./aws/abortable.js"
import { Imds } from "./aws/imds.js"
import { findPartition, findRegion } from "./aws/region.js"
import { RoleFinder } from "./aws/role-arn.js"
import type { AwsConfig } from "./config/config.js"
import { AgentError } from "./errors.js"

export interface Aws {
  region: string
  /** `aws`, `aws-cn`, … */
  partition: string
  s3: S3Client
  /**
   * Credentials that the enclave signs its KMS requests with, fresh enough to use now. While their
   * source is away the SDK gives the last ones it had.
   *
   * @throws AgentError `credentials-unavailable`, after 10 s at the latest; or the signal's reason
   */
  credentials(signal?: AbortSignal): Promise<ControlCredentials>
  /**
   * ARN of the instance's role; what was once found is kept.
   *
   * @throws AgentError `role-unknown`, within seconds; or the signal's reason
   */
  roleArn(signal?: AbortSignal): Promise<string>
}

const CREDENTIALS_TIMEOUT_MS = 10_000

/**
 * Standard mode: exponential backoff with full jitter, three attempts. The adaptive mode would slow
 * all tokens down for one bucket that throttles, since they share the client; the keepers' own
 * backoff, in minutes, comes after these.
 */
const RETRIES = { retryMode: "standard", maxAttempts: 3 } as const

/**
 * Finds out where the host is and makes the clients, by the SDK's default chain for credentials and
 * its environment variables for endpoints.
 *
 * @param log - told once of a role that had to be guessed
 * @throws AgentError `region-unknown`, after 3 s at the latest; it may be known a moment later
 */
export async function createAws(config: AwsConfig, log?: Logger): Promise<Aws> {
  const imds = new Imds()
  const region = await findRegion(config.region, imds)
  const iam = new IAMClient({
    region,
    retryMode: "standard",
    maxAttempts: 2,
    // IAM has no endpoint in most private subnets: the role is found without it then.
    requestHandler: { connectionTimeout: 2_000, socketTimeout: 3_000 },
  })
  const roles = new RoleFinder({ configured: config.role_arn, imds, iam, log })
  return {
    ...clientsOf(region),
    partition: await findPartition(region, imds),
    roleArn: (signal) => roles.find(signal),
  }
}

function clientsOf(region: string): Pick<Aws, "region" | "s3" | "credentials"> {
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = process.env
  const s3 = new S3Client({
    region,
    ...RETRIES,
    forcePathStyle: (AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL) !== undefined,
    // The SDK waits for ever unless told: a keeper that waits attests no token again. Its socketTimeout
    // takes twice its time where it is the TLS handshake that gets no answer.
    requestHandler: {
      connectionTimeout: 3_000,
      requestTimeout: 5_000,
      throwOnRequestTimeout: true,
      socketTimeout: 5_000,
    },
  })
  return {
    region,
    s3,
    credentials: async (signal) => {
      try {
        const look = () => s3.config.credentials()
        const found = await withDeadline(CREDENTIALS_TIMEOUT_MS, signal, look)
        const { accessKeyId, secretAccessKey, sessionToken } = found
        return { accessKeyId, secretAccessKey, sessionToken: sessionToken ?? null }
      } catch (cause) {
        if (signal?.aborted) throw cause
        throw new AgentError("credentials-unavailable", "no AWS credentials were found", {
          advice: "Attach an instance profile with a role to the instance.",
          cause,
        })
      }
    },
  }
}
