/** Runs `tlskeep-sign-load`, and reads the line of JSON that it prints. */
import { join } from "node:path"
import { execa } from "execa"
import { z } from "zod"
import { CodedError } from "../../shared/errors.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import type { SigningSample } from "../contenders/contender.js"
import type { SigningKeyType } from "../report/schema.js"

export const SIGN_LOAD = join(CHECKOUT.root, "build/native/bench/tlskeep-sign-load")

/** Whose key is signed with. */
export type SignWith =
  | { keyFile: string }
  | {
      module: string
      /** A token's label, or with `*` at its end the beginning of labels. */
      token: string
      label?: string
      pinFile: string
      env: Readonly<Record<string, string>>
    }

export interface SignLoad {
  with: SignWith
  keyType: SigningKeyType
  /** PEM; without it no signature is verified. */
  publicKeyFile?: string
  threads?: number
  /** Forked before the module is loaded; each has so many threads. */
  processes?: number
  seconds?: number
  /** Signatures in all, instead of `seconds`. */
  count?: number
  warmupSeconds?: number
  /** Processes whose CPU counts besides the tool's, with their descendants. */
  cpuOf?: readonly number[]
}

const resultSchema = z.object({
  keys: z.number(),
  operations: z.number(),
  per_second: z.number(),
  p50_us: z.number(),
  p95_us: z.number(),
  p99_us: z.number(),
  cpu_own_us_per_op: z.number(),
  cpu_others_us_per_op: z.number(),
  load_us: z.number(),
  initialize_us: z.number(),
  first_signature_us: z.number(),
  module_private_kib: z.number(),
  verified: z.number(),
  errors: z.number(),
  first_error: z.string(),
})
export type SignLoadResult = z.output<typeof resultSchema>

/** @throws CodedError `sign-load-failed` if a signature failed or is wrong, or the tool did not run */
export async function runSignLoad(load: SignLoad): Promise<SignLoadResult> {
  const { args, env } = signLoadCommand(load)
  const { stdout, stderr, exitCode } = await execa(SIGN_LOAD, args, { env, reject: false })
  const parsed = resultSchema.safeParse(jsonOf(stdout))
  if (exitCode !== 0 || !parsed.success) {
    const reason = parsed.success ? parsed.data.first_error : stderr
    throw new CodedError("sign-load-failed", `${args.join(" ")}: ${reason}`)
  }
  return parsed.data
}

/** Command line and environment, for those who run the tool under another. */
export function signLoadCommand(load: SignLoad): { args: string[]; env: Record<string, string> } {
  const option = (name: string, value: string | number | undefined): string[] =>
    value === undefined ? [] : [`--${name}`, String(value)]
  const key =
    "keyFile" in load.with
      ? option("key-file", load.with.keyFile)
      : [
          ...option("module", load.with.module),
          ...option("token", load.with.token),
          ...option("label", load.with.label),
          ...option("pin-file", load.with.pinFile),
        ]
  const args = [
    ...key,
    ...option("key-type", load.keyType),
    ...option("public-key", load.publicKeyFile),
    ...option("threads", load.threads),
    ...option("processes", load.processes),
    ...option("seconds", load.seconds),
    ...option("count", load.count),
    ...option("warmup", load.warmupSeconds),
    ...(load.cpuOf ?? []).flatMap((pid) => option("cpu-of", pid)),
  ]
  return { args, env: "keyFile" in load.with ? {} : { ...load.with.env } }
}

export function sampleOf(result: SignLoadResult): SigningSample {
  return {
    perSecond: result.per_second,
    p50Us: result.p50_us,
    p95Us: result.p95_us,
    p99Us: result.p99_us,
    cpuUsPerOp: result.cpu_own_us_per_op + result.cpu_others_us_per_op,
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
