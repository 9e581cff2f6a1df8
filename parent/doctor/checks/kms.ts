/** KMS: reachable, taking this host's signature, and with the configured keys in use. */
import { DescribeKeyCommand, type KMSClient } from "@aws-sdk/client-kms"
import type { Config } from "../../config/config.js"
import { reasonOf } from "../context.js"
import { type Finding, Reporter } from "../finding.js"
import { probeKmsEndpoint } from "../kms-endpoint.js"
import { kmsKeysOf, regionOf } from "../region.js"
import type { ConfiguredCheck } from "../run.js"
import { findCredentials } from "./credentials.js"

const report = new Reporter("kms")
/** A key that is the account's own in every account, or not there: what is asked of it changes nothing. */
const HARMLESS_KEY = "alias/aws/acm"

const SIGNATURE_REFUSED: ReadonlySet<string> = new Set([
  "ExpiredTokenException",
  "IncompleteSignature",
  "IncompleteSignatureException",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "MissingAuthenticationTokenException",
  "UnrecognizedClientException",
])

export const kms: ConfiguredCheck = {
  name: "kms",
  runConfigured: async (context, config) => {
    const endpoint = await context.once(probeKmsEndpoint)
    const region = await context.once(regionOf)
    if (endpoint.kind !== "answers" || region === undefined) {
      const detail =
        endpoint.kind === "silent"
          ? `${endpoint.url}: ${endpoint.reason}`
          : "The region is not known."
      return [
        report.problem(
          "kms-unreachable",
          "KMS cannot be reached",
          detail,
          "Check DNS, the security group's outbound port 443, the route, and the policy of a VPC endpoint for kms. vsock-proxy goes the same way.",
        ),
      ]
    }
    if ("failed" in (await context.once(findCredentials))) {
      return [report.ok("KMS answers", "Not signed for want of credentials.")]
    }
    const client = context.aws(region).kms
    try {
      const findings = await keyFindings(client, config, region)
      return findings.length > 0 ? findings : [report.ok("KMS answers and takes our signature")]
    } finally {
      client.destroy()
    }
  },
}

async function keyFindings(client: KMSClient, config: Config, region: string): Promise<Finding[]> {
  const keys = kmsKeysOf(config)
  const [here, elsewhere] = [
    keys.filter((arn) => arn.split(":")[3] === region),
    keys.filter((arn) => arn.split(":")[3] !== region),
  ]
  const asked = await Promise.all(
    (here.length > 0 ? here : [HARMLESS_KEY]).map((key) => keyFinding(client, key)),
  )
  // One refusal of the signature is as good as ten.
  const refused = asked.find((finding) => finding?.code === "kms-credentials-refused")
  const found = refused === undefined ? asked.filter((finding) => finding !== undefined) : [refused]
  return [...found, ...elsewhere.map((arn) => keyElsewhere(arn, region))]
}

async function keyFinding(client: KMSClient, key: string): Promise<Finding | undefined> {
  try {
    const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId: key }))
    if (KeyMetadata?.KeyState === "Enabled" || key === HARMLESS_KEY) return undefined
    return report.problem(
      "kms-key-unusable",
      "a KMS key cannot be used",
      `${key} is ${KeyMetadata?.KeyState ?? "in an unknown state"}.`,
      "aws kms enable-key, or aws kms cancel-key-deletion and then enable-key.",
    )
  } catch (error) {
    return refusal(key, reasonOf(error))
  }
}

function refusal(key: string, name: string): Finding | undefined {
  if (SIGNATURE_REFUSED.has(name)) {
    return report.problem(
      "kms-credentials-refused",
      "KMS does not take this host's credentials",
      `It answered ${name}.`,
      "Check the instance's role and its clock, and that the credentials belong to this partition.",
    )
  }
  // The role needs kms:Decrypt from the enclave alone: that it may not describe the key is as it should be.
  if (name === "AccessDeniedException" || key === HARMLESS_KEY) return undefined
  if (name === "NotFoundException") {
    return report.problem(
      "kms-key-not-found",
      "a configured KMS key is not there",
      key,
      "Correct kms_key_id of the token's source.",
    )
  }
  return report.unknown("kms-failed", "KMS failed", `${key}: ${name}`, "Try again in a minute.")
}

function keyElsewhere(arn: string, region: string): Finding {
  return report.problem(
    "kms-key-elsewhere",
    "a configured KMS key is in another region",
    `${arn} is not in ${region}, where the enclave asks KMS.`,
    "Set aws.region to the key's region, and vsock-proxy with it, or seal under a key of this region.",
  )
}
