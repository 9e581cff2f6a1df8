/** The region, where this instance has it from, and the hosts of AWS in it. */
import type { Config } from "../config/config.js"
import type { DoctorContext } from "./context.js"
import { metadata } from "./imds.js"

/** Configured, else of the environment, else the instance's; undefined where nobody knows. */
export async function regionOf(context: DoctorContext): Promise<string | undefined> {
  const { configuration, env } = context
  const configured = "config" in configuration ? configuration.config.aws.region : undefined
  const given = configured ?? env.AWS_REGION
  if (given !== undefined && given !== "") return given
  const told = await metadata(context, "placement/region").catch(() => undefined)
  return told?.status === 200 ? told.body.trim() : undefined
}

/** Host name of KMS, as vsock-proxy has to be given it. */
export function kmsHost(region: string): string {
  return `kms.${region}.${region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com"}`
}

/** Where this host reaches KMS. */
export function kmsUrl({ env }: DoctorContext, region: string): string {
  return env.AWS_ENDPOINT_URL_KMS ?? `https://${kmsHost(region)}`
}

/** `aws`, `aws-cn`, `aws-us-gov`: first part of the ARNs of a region. */
export function partitionOf(region: string): string {
  if (region.startsWith("cn-")) return "aws-cn"
  return region.startsWith("us-gov-") ? "aws-us-gov" : "aws"
}

/** Regions that the configuration needs KMS in: that of the agent. */
export function kmsKeysOf({ tokens }: Config): string[] {
  return [...new Set(tokens.flatMap(({ source }) => source.kms_key_id ?? []))]
}
