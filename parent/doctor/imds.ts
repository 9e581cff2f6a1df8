/** The instance metadata service, version 2. */
import { CodedError } from "../../shared/errors.js"
import type { DoctorContext } from "./context.js"
import type { HttpAnswer } from "./http.js"

const TIMEOUT_MS = 2_000
const TOKEN_SECS = "60"

/**
 * One path below `/latest/meta-data/`.
 *
 * @throws what the connection throws; CodedError `imds-disabled`, `imds-refused`
 */
export async function metadata(context: DoctorContext, path: string): Promise<HttpAnswer> {
  const token = await context.once(sessionToken)
  return context.request({
    url: `${base(context)}/latest/meta-data/${path}`,
    headers: { "x-aws-ec2-metadata-token": token },
    timeoutMs: TIMEOUT_MS,
  })
}

async function sessionToken(context: DoctorContext): Promise<string> {
  if (context.env.AWS_EC2_METADATA_DISABLED === "true") {
    throw new CodedError("imds-disabled", "AWS_EC2_METADATA_DISABLED switches it off")
  }
  const answer = await context.request({
    url: `${base(context)}/latest/api/token`,
    method: "PUT",
    headers: { "x-aws-ec2-metadata-token-ttl-seconds": TOKEN_SECS },
    timeoutMs: TIMEOUT_MS,
  })
  if (answer.status === 200) return answer.body
  throw new CodedError("imds-refused", `no session token: ${answer.status}`)
}

function base({ env }: DoctorContext): string {
  return env.AWS_EC2_METADATA_SERVICE_ENDPOINT ?? "http://169.254.169.254"
}
