/** The region, by the agent's own rules, and the hosts of AWS in it. */
import { findRegion } from "../aws/region.js"
import type { Config } from "../config/config.js"
import type { DoctorContext } from "./context.js"

/** Configured, else of the environment, else the instance's; undefined where nobody knows. */
export async function regionOf({
  configuration,
  imds,
}: DoctorContext): Promise<string | undefined> {
  const configured = "config" in configuration ? configuration.config.aws.region : undefined
  return findRegion(configured, imds).catch(() => undefined)
}

/** Host name of KMS, as vsock-proxy has to be given it. */
export function kmsHost(region: string): string {
  return `kms.${region}.${region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com"}`
}

/** Where this host reaches KMS. */
export function kmsUrl({ env }: DoctorContext, region: string): string {
  return env.AWS_ENDPOINT_URL_KMS ?? `https://${kmsHost(region)}`
}

/** The KMS keys that the configuration names. */
export function kmsKeysOf({ tokens }: Config): string[] {
  return [...new Set(tokens.flatMap(({ source }) => source.kms_key_id ?? []))]
}
