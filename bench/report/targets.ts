/** The speeds that are asked for, and what a run has to say of each. */
import type { Report, Result, Target } from "./schema.js"
import { ratioByRound } from "./statistics.js"

type Measured = Pick<Report, "results" | "scale" | "memory">

interface Definition {
  figure: string
  limit: { atLeast: number } | { atMost: number }
  unit?: string
  /** Undefined where the run did not measure it. */
  measured(run: Measured): number | undefined
}

const CLIENTS = 16

/** Ratios are medians of ratios taken round by round. */
export const TARGETS: readonly Definition[] = [
  {
    figure: "Apache, RSA-2048, 16 clients, tlskeep ÷ key file",
    limit: { atLeast: 0.95 },
    measured: (run) => handshake(run, "RSA-2048", "tlskeep-engine")?.ratio.median,
  },
  {
    figure: "Apache, P-256, 16 clients, tlskeep ÷ key file",
    limit: { atLeast: 0.9 },
    measured: (run) => handshake(run, "P-256", "tlskeep-engine")?.ratio.median,
  },
  ...(["RSA-2048", "P-256"] as const).map((key) => ({
    figure: `Apache, ${key}, 16 clients, tlskeep ÷ SoftHSM over p11-kit`,
    limit: { atLeast: 1.3 },
    measured: (run: Measured) =>
      quotient(handshake(run, key, "tlskeep-engine"), handshake(run, key, "softhsm-p11-kit")),
  })),
  {
    figure: "raw RSA-2048, 16 threads, tlskeep ÷ openssl speed on all cores",
    limit: { atLeast: 0.9 },
    measured: (run) => signature(run, "RSA-2048", CLIENTS, "tlskeep")?.ratio.median,
  },
  {
    figure: "raw P-256, 16 threads, tlskeep ÷ SoftHSM over p11-kit",
    limit: { atLeast: 2 },
    measured: (run) =>
      quotient(
        signature(run, "P-256", CLIENTS, "tlskeep"),
        signature(run, "P-256", CLIENTS, "softhsm-p11-kit"),
      ),
  },
  {
    figure: "P-256, one thread, median latency ÷ libcrypto's in process",
    limit: { atMost: 3 },
    measured: (run) => {
      const ours = signature(run, "P-256", 1, "tlskeep")?.p50_us
      const bare = signature(run, "P-256", 1, "key-file")?.p50_us
      return ours == null || bare == null ? undefined : ours / bare
    },
  },
  {
    figure: "CPU per RSA-2048 handshake, tlskeep ÷ key file",
    limit: { atMost: 1.08 },
    measured: (run) => handshake(run, "RSA-2048", "tlskeep-engine")?.cpu_ratio?.median,
  },
  {
    figure: "throughput at 1,000 keys ÷ at 1 key",
    limit: { atLeast: 0.97 },
    measured: (run) => keys(run, 1_000)?.ratio,
  },
  {
    figure: "enclave RSS with 128 tokens",
    ...{ limit: { atMost: 120 }, unit: "MiB" },
    // Whichever is more: an agent brings them in one by one, which leaves more garbage than the load.
    measured: (run) => {
      const row = run.memory.find(({ process }) => process === enclaveWithTokens(128))
      const all = [keys(run, 128)?.enclave_rss_mib, row?.rss_mib].filter((one) => one !== undefined)
      return all.length === 0 ? undefined : Math.max(...all)
    },
  },
  {
    figure: "module memory per Apache child",
    ...{ limit: { atMost: 1 }, unit: "MiB" },
    measured: (run) => {
      const worker = (name: string) =>
        run.memory.find(({ process }) => process === `Apache worker, ${name}, RSA-2048`)
      const [with_, without] = [worker("tlskeep-engine"), worker("key-file")]
      if (with_ === undefined || without === undefined) return undefined
      // Whichever is more: the engine's worker may share with its parent what the other has for itself.
      return Math.max(0, with_.private_mib - without.private_mib, with_.pss_mib - without.pss_mib)
    },
  },
]

/** What a row of `memory` is called. */
export function enclaveWithTokens(count: number): string {
  return `enclave, ${count} ${count === 1 ? "token" : "tokens"} brought in by an agent`
}

/** Judges a run by every target. */
export function judge(run: Measured): Target[] {
  return TARGETS.map(({ figure, limit, unit, measured }) => {
    const value = measured(run)
    const atLeast = "atLeast" in limit
    const bound = atLeast ? limit.atLeast : limit.atMost
    return {
      figure,
      target: [atLeast ? "≥" : "≤", bound, ...(unit === undefined ? [] : [unit])].join(" "),
      measured: value ?? null,
      met: value === undefined ? null : atLeast ? value >= bound : value <= bound,
    }
  })
}

/** TLS 1.3, as browsers speak it. */
function handshake({ results }: Measured, key: string, contender: string): Result | undefined {
  return results.find(
    (one) =>
      one.section === "handshakes" &&
      one.protocol === "TLS1.3" &&
      one.clients === CLIENTS &&
      one.key === key &&
      one.contender === contender,
  )
}

function signature(
  { results }: Measured,
  key: string,
  threads: number,
  contender: string,
): Result | undefined {
  return results.find(
    (one) =>
      one.section === "signatures" &&
      one.clients === threads &&
      one.key === key &&
      one.contender === contender,
  )
}

function keys({ scale }: Measured, value: number) {
  return scale.find((one) => one.what === "keys" && one.value === value)
}

function quotient(a: Result | undefined, b: Result | undefined): number | undefined {
  if (a === undefined || b === undefined) return undefined
  return ratioByRound(a.per_second_rounds, b.per_second_rounds).median
}
