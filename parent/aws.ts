/** AWS clients of the host side, by the SDK's default chains for credentials and endpoints. */
import { S3Client } from "@aws-sdk/client-s3"
import type { ControlCredentials } from "../shared/protocol/control.js"
import { AgentError } from "./errors.js"

export interface Aws {
  region: string
  s3: S3Client
  /** Credentials that the enclave signs its KMS requests with, fresh enough to use now. */
  credentials(): Promise<ControlCredentials>
}

/**
 * Makes the clients.
 *
 * @throws AgentError `region-unknown`
 */
export function awsClients(configuredRegion: string | undefined): Aws {
  const region = requireRegion(configuredRegion)
  const s3 = new S3Client({
    region,
    forcePathStyle: process.env.AWS_ENDPOINT_URL_S3 !== undefined,
    // The SDK waits for ever unless told: a keeper that waits attests no token again.
    requestHandler: { connectionTimeout: 5_000, socketTimeout: 15_000 },
  })
  return {
    region,
    s3,
    credentials: async () => {
      try {
        const { accessKeyId, secretAccessKey, sessionToken } = await s3.config.credentials()
        return { accessKeyId, secretAccessKey, sessionToken: sessionToken ?? null }
      } catch (cause) {
        throw new AgentError("credentials-unavailable", "no AWS credentials were found", {
          advice: "Attach an instance profile with a role to the instance.",
          cause,
        })
      }
    },
  }
}

/** The region configured, else that of the environment. */
export function requireRegion(configured: string | undefined): string {
  const region = configured ?? process.env.AWS_REGION
  if (region !== undefined && region !== "") return region
  throw new AgentError("region-unknown", "the AWS region is not known", {
    advice: "Set aws.region in the configuration, or AWS_REGION in the environment.",
  })
}
