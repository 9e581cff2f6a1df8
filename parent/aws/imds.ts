/**
 * The instance metadata service, version 2 only, read by AWS's client within seconds or not at all:
 * it is a help to know the instance's region and role, never a reason to wait.
 */
import { MetadataService } from "@aws-sdk/ec2-metadata-service"
import pRetry from "p-retry"
import { AgentError } from "../errors.js"
import { withDeadline } from "./abortable.js"

/** On an instance it answers in a millisecond; the SDKs give it a second as well. */
const REQUEST_TIMEOUT_MS = 1_000
/** For one reading with its token, retries included. */
const READ_TIMEOUT_MS = 3_000
const RETRY_DELAY_MS = 100

export class Imds {
  /**
   * Reads one document below `meta-data/`.
   *
   * @param path - such as `placement/region`
   * @returns its text, trimmed; undefined where the instance has none (404).
   * @throws AgentError `imds-unreachable`, after 3 s at the latest
   */
  async read(path: string): Promise<string | undefined> {
    if (process.env.AWS_EC2_METADATA_DISABLED?.toLowerCase() === "true") {
      throw unreachable("switched off by AWS_EC2_METADATA_DISABLED")
    }
    try {
      const text = await withDeadline(READ_TIMEOUT_MS, undefined, (signal) =>
        pRetry(() => request(path), {
          retries: 1,
          minTimeout: RETRY_DELAY_MS,
          randomize: true,
          signal,
          shouldRetry: ({ error }) => statusOf(error) !== 404,
        }),
      )
      return text.trim()
    } catch (cause) {
      if (statusOf(cause) === 404) return undefined
      throw unreachable(reasonOf(cause), cause)
    }
  }
}

/** By a client of its own: after one refused token it would ask for none again. */
function request(path: string): Promise<string> {
  const service = new MetadataService({
    ec2MetadataV1Disabled: true,
    httpOptions: { timeout: REQUEST_TIMEOUT_MS },
    retries: 0,
  })
  // It puts the endpoint's own slash in front.
  return service.request(`latest/meta-data/${path}`, {})
}

function unreachable(reason: string, cause?: unknown): AgentError {
  const message = `the instance metadata service gave no answer: ${reason}`
  return new AgentError("imds-unreachable", message, {
    advice: "Switch IMDSv2 on for the instance, or set aws.region and aws.role_arn.",
    cause,
  })
}

function statusOf(error: unknown): number | undefined {
  const { $metadata } = (error ?? {}) as { $metadata?: { httpStatusCode?: number } }
  return $metadata?.httpStatusCode
}

/** The client keeps its cause in its message alone. */
function reasonOf(error: unknown): string {
  const status = statusOf(error)
  if (status !== undefined) return `HTTP status ${status}`
  const message = String(error)
  const [, said] = /with status code (\d{3})/.exec(message) ?? []
  if (said !== undefined) return `HTTP status ${said} to the request for a token`
  const [, code] = /\b(?:connect|read|write|getaddrinfo) (E[A-Z]+)\b/.exec(message) ?? []
  return code ?? (/time/i.test(message) ? "timed out" : "none that can be used")
}
