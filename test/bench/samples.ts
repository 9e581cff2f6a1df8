/** Results and whole reports for the tests of what is made of them. */
import type { Report, Result } from "../../bench/report/schema.js"

export function result(change: Partial<Result> = {}): Result {
  return {
    ...{ section: "handshakes", name: "a case", contender: "key-file", key: "RSA-2048" },
    ...{ protocol: "TLS1.3", clients: 16, per_second: 100, per_second_rounds: [90, 100, 110] },
    ...{ p50_us: 10, p95_us: 20, p99_us: 30, cpu_us_per_op: 500, per_cpu_second: 2_000 },
    idle_share: 0.02,
    baseline: "key-file",
    ratio: { median: 1, min: 1, max: 1 },
    cpu_ratio: { median: 1, min: 1, max: 1 },
    ...change,
  }
}

export function report(change: Partial<Report> = {}): Report {
  return {
    ...{ schema_version: 1, profile: "quick", started_at: "2026-11-22T03:00:00.000Z" },
    duration_secs: 80,
    machine: {
      ...{ cpu: "a CPU", cores: 2, memory_mib: 4_096, kernel: "6.1", load_average: [0.1, 1.9] },
      pipe_round_trip_us: 43.2,
    },
    versions: { tlskeep: "0.1.0" },
    ...{ results: [], round_trips: [], scale: [], memory: [], startup: [], instructions: [] },
    targets: [],
    ...change,
  }
}
