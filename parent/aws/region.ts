/** Which region and partition the host is in: by configuration, environment, or the instance. */
import { AWS_REGION } from "../../shared/protocol/control.js"
import { AgentError } from "../errors.js"
import type { Imds } from "./imds.js"

/** The region configured, else that of the environment; undefined where neither names one. */
function namedRegion(configured: string | undefined): string | undefined {
  return configured || process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || undefined
}

/**
 * The region configured, else that of the environment, else the instance's.
 *
 * @throws AgentError `region-unknown`
 */
export async function findRegion(configured: string | undefined, imds: Imds): Promise<string> {
  const named = namedRegion(configured)
  if (named !== undefined) return named
  try {
    const region = await imds.read("placement/region")
    if (region !== undefined && AWS_REGION.test(region)) return region
  } catch (cause) {
    throw regionUnknown(cause)
  }
  throw regionUnknown()
}

function regionUnknown(cause?: unknown): AgentError {
  const reason = cause instanceof AgentError ? `: ${cause.message}` : ""
  return new AgentError("region-unknown", `the AWS region is not known${reason}`, {
    advice: "Set aws.region in the configuration, or AWS_REGION in the environment.",
    cause,
  })
}

/** The partition by the instance's word, else by the region's name. Never fails. */
export async function findPartition(region: string, imds: Imds): Promise<string> {
  const said = await imds.read("services/partition").catch(() => undefined)
  return said !== undefined && /^aws(?:-[a-z]+)*$/.test(said) ? said : partitionOf(region)
}

/** First words of region names; AWS SDKs' partitions.json. */
const PARTITIONS: Readonly<Record<string, string>> = {
  "cn-": "aws-cn",
  "us-gov-": "aws-us-gov",
  "us-iso-": "aws-iso",
  "us-isob-": "aws-iso-b",
  "eu-isoe-": "aws-iso-e",
  "us-isof-": "aws-iso-f",
  "eusc-": "aws-eusc",
}

/** The partition that a region is in, by its name. */
export function partitionOf(region: string): string {
  const prefix = Object.keys(PARTITIONS).find((one) => region.startsWith(one))
  return (prefix !== undefined && PARTITIONS[prefix]) || "aws"
}
