/**
 * The configuration file, in the names and units of AWS's `acm.yaml` where it has them. Every key is
 * described here once; the README's table is checked against it.
 */
import { z } from "zod"
import { parseAddress } from "../../shared/address.js"
import { isCodedError } from "../../shared/errors.js"
import { AWS_REGION, KMS_KEY_ARN, labelSchema, pinSchema } from "../../shared/protocol/control.js"

/** AWS's agent serves as many; more tokens than these are a mistake in the file. */
export const MAX_CONFIG_TOKENS = 128

/** A timer of Node's takes less than 25 days; a day is more than anyone means. */
const DAY_SECS = 86_400
/** Quotes and control characters have no place in the web server's configuration. */
const absolutePath = z
  .string()
  .regex(/^\/[^"\\\p{Cc}]*$/u, "must be an absolute path without quotes and backslashes")
const command = z.array(z.string().min(1)).min(1)

/** `{cid}` and `{port}` stand for an enclave's CID and port. */
const addressPattern = z.string().superRefine((pattern, context) => {
  try {
    parseAddress(pattern.replaceAll("{cid}", "4").replaceAll("{port}", "9999"))
  } catch (error) {
    if (!isCodedError(error, "malformed-address")) throw error
    context.addIssue({ code: "custom", message: error.message })
  }
})

const enclaveSchema = z.strictObject({
  image_path: absolutePath.meta({ description: "Enclave image file (EIF) to run" }),
  cpu_count: z.int().min(1).default(2).meta({ description: "vCPUs of the enclave" }),
  memory_mib: z.int().min(64).default(512).meta({ description: "Memory of the enclave, MiB" }),
  boot_timeout_ms: z
    .int()
    .min(100)
    .max(600_000)
    .default(5_000)
    .meta({ description: "Time for a started enclave to answer on its control port" }),
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, - and _")
    .default("tlskeep")
    .meta({ description: "Enclave name: a running enclave of this name is adopted" }),
  expected_pcr0: z
    .string()
    .regex(/^[0-9a-fA-F]{96}$/, "must be 96 hex digits")
    .optional()
    .meta({ description: "PCR0 that the image must measure to; nothing is provisioned otherwise" }),
  nitro_cli_path: z
    .string()
    .min(1)
    .default("nitro-cli")
    .meta({ description: "The nitro-cli command" }),
  address_pattern: addressPattern
    .default("vsock:{cid}:{port}")
    .meta({ description: "How an enclave's ports are reached, with {cid} and {port} filled in" }),
})

const optionsSchema = z.strictObject({
  service: z.enum(["httpd"]).default("httpd").meta({ description: "Web server that is served" }),
  reload_command: command
    .default(["apachectl", "-k", "graceful"])
    .meta({ description: "Command that reloads the web server gracefully" }),
  sync_interval_secs: z
    .int()
    .min(1)
    .max(DAY_SECS)
    .default(600)
    .meta({ description: "How often sources are looked at for a new certificate" }),
  run_dir: absolutePath
    .default("/run/tlskeep")
    .meta({ description: "Endpoint file, PINs, control secret and certificates" }),
  module_path: absolutePath
    .default("/usr/lib/tlskeep/libtlskeep-pkcs11.so")
    .meta({ description: "The PKCS #11 module, for the self-test" }),
})

const s3SourceSchema = z.strictObject({
  uri: z
    .string()
    .regex(/^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\/.+$/, "must be s3://<bucket>/<key>")
    .meta({ description: "The key object, `s3://<bucket>/<key>`" }),
  kms_key_id: z
    .string()
    .regex(KMS_KEY_ARN, "must be the ARN of a KMS key")
    .optional()
    .meta({ description: "ARN of the only KMS key accepted; else the one the object names" }),
})

const snippetTargetSchema = z.strictObject({
  path: absolutePath.meta({
    description: "File to write with SSLCertificateFile and SSLCertificateKeyFile, for Include",
  }),
  user: z.string().min(1).default("root").meta({ description: "Owner of the files written" }),
  group: z.string().min(1).default("root").meta({ description: "Group of the files written" }),
})

const tokenSchema = z.strictObject({
  label: labelSchema.meta({ description: "Token label, `token=` of the PKCS #11 URI" }),
  pin: pinSchema
    .optional()
    .meta({ description: "PIN of 4 to 64 characters; made at random unless given" }),
  source: z.strictObject({ S3: s3SourceSchema }),
  target: z.strictObject({ Snippet: snippetTargetSchema }),
  refresh_interval_secs: z
    .int()
    .min(1)
    .max(DAY_SECS)
    .default(43_200)
    .meta({ description: "How often the enclave attests again; a token ends 48 h after the last" }),
})

const awsSchema = z.strictObject({
  region: z
    .string()
    .regex(AWS_REGION, "must be a region such as eu-west-1")
    .optional()
    .meta({ description: "Region of S3 and KMS; else AWS_REGION" }),
})

const logSchema = z.strictObject({
  level: z
    .enum(["trace", "debug", "info", "warn", "error"])
    .default("info")
    .meta({ description: "Least severe level that is logged" }),
  enable_timestamp: z.boolean().default(true).meta({ description: "Timestamps in log lines" }),
})

export const configSchema = z.strictObject({
  enclave: enclaveSchema,
  options: optionsSchema.prefault({}),
  aws: awsSchema.prefault({}),
  tokens: z.array(tokenSchema).min(1).max(MAX_CONFIG_TOKENS),
  log: logSchema.prefault({}),
})

export type Config = z.output<typeof configSchema>
export type TokenConfig = Config["tokens"][number]
