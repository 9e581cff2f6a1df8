/**
 * The configuration file, in the names and units of AWS's `acm.yaml` where it has them. Every key is
 * described once, here or in the parts; the README's table is checked against it.
 */
import { z } from "zod"
import { byEitherName } from "./alternatives.js"
import type { AwsConfig, LogConfig, MetricsConfig } from "./config.js"
import {
  absolutePath,
  addressPattern,
  command,
  DAY_SECS,
  filePath,
  metricsAddress,
} from "./fields.js"
import { awsSchema, tokenSchema } from "./token-schema.js"

/** AWS's agent serves as many; more tokens than these are a mistake in the file. */
export const MAX_CONFIG_TOKENS = 128
export const DEFAULT_IMAGE = "/usr/share/tlskeep/tlskeep.eif"
/** What the image needs; AWS's samples give less, see adapt.ts. */
export const MIN_MEMORY_MIB = 512

const VSOCK_PORT = z.int().min(1).max(0xfffffffe)

const enclaveSchema = z.strictObject({
  image_path: filePath
    .default(DEFAULT_IMAGE)
    .meta({ description: "Enclave image file (EIF) to run; AWS's own is replaced by the default" }),
  cpu_count: z.int().min(1).default(2).meta({ description: "vCPUs of the enclave" }),
  memory_mib: z
    .int()
    .min(64)
    .default(MIN_MEMORY_MIB)
    .meta({ description: "Memory of the enclave, MiB; less than 512 is raised to it" }),
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
    .toLowerCase()
    .exactOptional()
    .meta({ description: "PCR0 that the image must measure to; nothing is provisioned otherwise" }),
  nitro_cli_path: z
    .string()
    .min(1)
    .default("nitro-cli")
    .meta({ description: "The nitro-cli command" }),
  address_pattern: addressPattern
    .default("vsock:{cid}:{port}")
    .meta({ description: "How an enclave's ports are reached, with {cid} and {port} filled in" }),
  p11kit_port: VSOCK_PORT.exactOptional().meta({ description: "AWS's; without effect here" }),
  rpc_port: VSOCK_PORT.exactOptional().meta({ description: "AWS's; without effect here" }),
  attestation_retry_count: z
    .int()
    .min(0)
    .exactOptional()
    .meta({ description: "AWS's; without effect here" }),
})

const FORCE_START = true
/** A deadline: a reload that is over sooner is not waited for any longer. */
const RELOAD_WAIT_MS = 10_000
const forceStart = z.boolean().exactOptional()
const reloadWait = z.int().min(100).max(600_000).exactOptional()

const optionsSchema = z
  .strictObject({
    service: z.enum(["httpd", "nginx"]).exactOptional().meta({
      description: "Web server that is served; else nginx with a target Conf, httpd without",
    }),
    unit: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,254}$/, "must be the name of a systemd unit")
      .exactOptional()
      .meta({ description: "systemd unit of the web server; else the one that is installed" }),
    test_command: command.exactOptional().meta({
      description: "Command that tests the server's configuration; else the server's own",
    }),
    reload_command: command
      .exactOptional()
      .meta({ description: "Command that reloads the server gracefully; else by the unit" }),
    start_command: command
      .exactOptional()
      .meta({ description: "Command that starts the server; else by the unit" }),
    force_start: forceStart.meta({
      description: "Start the server where it does not run when its files are ready",
      default: FORCE_START,
    }),
    nginx_force_start: forceStart.meta({ description: "Other name of `force_start`" }),
    reload_wait_ms: reloadWait.meta({
      description: "How long a reload may take until the listener must present the certificate",
      default: RELOAD_WAIT_MS,
    }),
    nginx_reload_wait_ms: reloadWait.meta({ description: "Other name of `reload_wait_ms`" }),
    sync_interval_secs: z
      .int()
      .min(1)
      .max(DAY_SECS)
      .default(600)
      .meta({ description: "How often sources are looked at for a new certificate" }),
    run_dir: absolutePath
      .default("/run/tlskeep")
      .meta({ description: "Endpoint file, PINs, control secret and certificates" }),
    module_path: filePath
      .default("/usr/lib/tlskeep/libtlskeep-pkcs11.so")
      .meta({ description: "The PKCS #11 module, for the self-test" }),
    key_syntax: z
      .enum(["auto", "engine", "provider"])
      .default("auto")
      .meta({ description: "How the server is told of a key: by what is installed, or always so" }),
    pin_delivery: z.enum(["auto", "file", "value"]).default("auto").meta({
      description:
        "How the server is told of a PIN: by a file of its group's (`pin-source`), or in the key's URI (`pin-value`), which mod_ssl logs at `LogLevel info`",
    }),
  })
  .transform((section, context) => {
    const { nginx_force_start, nginx_reload_wait_ms, ...options } = section
    const force_start = byEitherName(
      { name: "force_start", value: section.force_start },
      { name: "nginx_force_start", value: nginx_force_start },
      context,
    )
    const reload_wait_ms = byEitherName(
      { name: "reload_wait_ms", value: section.reload_wait_ms },
      { name: "nginx_reload_wait_ms", value: nginx_reload_wait_ms },
      context,
    )
    return {
      ...options,
      force_start: force_start ?? FORCE_START,
      reload_wait_ms: reload_wait_ms ?? RELOAD_WAIT_MS,
    }
  })

const metricsSchema = z.strictObject({
  listen: metricsAddress.meta({
    description: "Where Prometheus may ask: `unix:<path>`, or a loopback address and port",
  }),
}) satisfies z.ZodType<MetricsConfig, unknown>

const LEVELS = ["trace", "debug", "info", "warn", "error"] as const

const logSchema = z.preprocess(
  levelOfOurs,
  z.strictObject({
    level: z
      .enum(LEVELS)
      .default("info")
      .meta({ description: "Least severe level that is logged; `Info` is `info`" }),
    enable_timestamp: z.boolean().default(true).meta({ description: "Timestamps in log lines" }),
  }),
) satisfies z.ZodType<LogConfig, unknown>

/** AWS's agent begins the names of levels with a capital. */
function levelOfOurs(log: unknown): unknown {
  if (typeof log !== "object" || log === null || !("level" in log)) return log
  const level = LEVELS.find((name) => `${name[0]?.toUpperCase()}${name.slice(1)}` === log.level)
  return level === undefined ? log : { ...log, level }
}

export const configSchema = z.strictObject({
  enclave: enclaveSchema.prefault({}),
  options: optionsSchema.prefault({}),
  aws: (awsSchema satisfies z.ZodType<AwsConfig, unknown>).prefault({}),
  metrics: metricsSchema.exactOptional(),
  tokens: z.array(tokenSchema).min(1).max(MAX_CONFIG_TOKENS),
  log: logSchema.prefault({}),
})

/** What the file says, filled up with defaults; see adapt.ts for what becomes of it. */
export type FileSettings = z.output<typeof configSchema>
