/** The shape of `results/latest.json`. README.md beside this folder describes the fields to readers. */
import { z } from "zod"

export const SCHEMA_VERSION = 1

export const CONTENDERS = [
  "key-file",
  "tlskeep-engine",
  "tlskeep-provider",
  "tlskeep",
  "softhsm-p11-kit",
  "softhsm",
  "openssl-speed",
] as const
/** Who is measured. In handshakes tlskeep comes by the engine and by the provider. */
export type ContenderName = (typeof CONTENDERS)[number]

export const SIGNING_KEY_TYPES = ["RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384"] as const
export type SigningKeyType = (typeof SIGNING_KEY_TYPES)[number]
/** Those that web servers are measured with. */
export type ServedKeyType = Extract<SigningKeyType, "RSA-2048" | "P-256" | "P-384">

const figure = z.number().nonnegative()

const spreadSchema = z.strictObject({ median: figure, min: figure, max: figure })

/** One contender in one case, over all rounds; each figure is the median of the rounds. */
export const resultSchema = z.strictObject({
  section: z.enum(["handshakes", "signatures"]),
  name: z.string(),
  contender: z.enum(CONTENDERS),
  key: z.enum(SIGNING_KEY_TYPES),
  protocol: z.enum(["TLS1.2", "TLS1.3"]).nullable(),
  /** At the same time: connections of handshakes, threads of signatures. */
  clients: z.int().positive(),
  per_second: figure,
  /** Of each round, in their order. */
  per_second_rounds: z.array(figure),
  p50_us: figure.nullable(),
  p95_us: figure.nullable(),
  p99_us: figure.nullable(),
  /** Of all the contender's processes; null where it was not told. */
  cpu_us_per_op: figure.nullable(),
  per_cpu_second: figure.nullable(),
  /** Of all cores' time, 0 to 1: what nobody used. Null where it was not told. */
  idle_share: z.number().min(0).max(1).nullable(),
  baseline: z.enum(CONTENDERS),
  /** Throughput to the baseline's, each round by itself, then the median. */
  ratio: spreadSchema,
  cpu_ratio: spreadSchema.nullable(),
})
export type Result = z.infer<typeof resultSchema>

export const roundTripsSchema = z.strictObject({
  contender: z.enum(CONTENDERS),
  key: z.enum(SIGNING_KEY_TYPES),
  protocol: z.enum(["TLS1.2", "TLS1.3"]),
  handshakes: z.int().positive(),
  round_trips_per_handshake: figure,
})
export type RoundTrips = z.infer<typeof roundTripsSchema>

export const scaleSchema = z.strictObject({
  what: z.enum(["keys", "connections"]),
  /** So many keys in the enclave, or connections open at the same time. */
  value: z.int().positive(),
  key: z.enum(SIGNING_KEY_TYPES),
  per_second: figure,
  /** Of the load's own process and the enclave's. */
  cpu_us_per_op: figure,
  p50_us: figure,
  p99_us: figure,
  /** To the smallest value's, round by round, then the median. */
  ratio: figure,
  enclave_rss_mib: figure,
  /** Anonymous memory of the load's own process that grew with module and connections, KiB. */
  module_private_kib: figure,
  rounds: z.int().positive(),
})
export type Scale = z.infer<typeof scaleSchema>

export const memorySchema = z.strictObject({
  process: z.string(),
  rss_mib: figure,
  private_mib: figure,
  pss_mib: figure,
})
export type Memory = z.infer<typeof memorySchema>

export const startupSchema = z.strictObject({
  figure: z.string(),
  milliseconds: spreadSchema,
  rounds: z.int().positive(),
})
export type Startup = z.infer<typeof startupSchema>

export const instructionsSchema = z.strictObject({
  contender: z.enum(CONTENDERS),
  process: z.string(),
  key: z.enum(SIGNING_KEY_TYPES),
  /** `perf`: user mode, by the CPU's counter; `callgrind`: executed by valgrind. */
  by: z.enum(["perf", "callgrind"]),
  instructions_per_op: figure,
})
export type Instructions = z.infer<typeof instructionsSchema>

export const targetSchema = z.strictObject({
  figure: z.string(),
  target: z.string(),
  measured: figure.nullable(),
  /** Null where this run did not measure it. */
  met: z.boolean().nullable(),
})
export type Target = z.infer<typeof targetSchema>

export const reportSchema = z.strictObject({
  schema_version: z.literal(SCHEMA_VERSION),
  profile: z.enum(["quick", "full"]),
  started_at: z.iso.datetime(),
  duration_secs: figure,
  machine: z.strictObject({
    cpu: z.string(),
    cores: z.int().positive(),
    memory_mib: figure,
    kernel: z.string(),
    /** Of the minute before the run and the one before its end: neighbours show. */
    load_average: z.tuple([figure, figure]),
    /** Of two processes over pipes, before the run: two wake-ups. Null without perf. */
    pipe_round_trip_us: figure.nullable(),
  }),
  versions: z.record(z.string(), z.string()),
  results: z.array(resultSchema),
  round_trips: z.array(roundTripsSchema),
  scale: z.array(scaleSchema),
  memory: z.array(memorySchema),
  startup: z.array(startupSchema),
  instructions: z.array(instructionsSchema),
  targets: z.array(targetSchema),
})
export type Report = z.infer<typeof reportSchema>
