/** How throughput, latency and memory go with the number of keys in the enclave, and of connections. */
import { memoryOf } from "../../sim/testbed/process-memory.js"
import { tlskeepToken } from "../contenders/signers.js"
import type { BenchHost } from "../host/bench-host.js"
import type { Enclave } from "../host/enclave.js"
import type { Say } from "../profile.js"
import type { Scale } from "../report/schema.js"
import { median, ratioByRound } from "../report/statistics.js"
import { interleave } from "./rounds.js"
import { runSignLoad, type SignLoad, type SignLoadResult } from "./sign-load.js"

export interface ScaleProfile {
  /** Of the enclave; the first is what the others are compared with. */
  keys: readonly number[]
  connections: readonly number[]
  rounds: number
  seconds: number
}

const KEY_TYPE = "P-256"
/** Of the load on many keys, which share them out. */
const THREADS = 16
const TOKEN = "scale"
/**
 * Until each connection has logged in to each token, as it does once: logins are not what is compared. They
 * come in the order in which threads happen to lease connections, the last of them late.
 */
const warmUpSeconds = (keys: number) => 2 + keys / 125
const SAMPLE_MS = 200

interface Point {
  name: string
  what: Scale["what"]
  value: number
  enclave: Enclave
  load: SignLoad
}

interface Sample extends SignLoadResult {
  enclaveRssMib: number
}

/** Each number of keys in an enclave of its own, so that rounds can be interleaved. */
export async function measureScale(
  host: BenchHost,
  profile: ScaleProfile,
  say: Say,
): Promise<Scale[]> {
  const names: string[] = []
  try {
    const byKeys: Point[] = []
    for (const value of profile.keys) {
      say(`an enclave with ${value} ${KEY_TYPE} ${value === 1 ? "key" : "keys"}`)
      const name = `scale-${value}`
      names.push(name)
      const enclave = await host.enclave(name)
      await enclave.provision(await tokens(host, value))
      const load = await loadOn(host, enclave, { threads: THREADS })
      byKeys.push({ name: `${value}`, what: "keys", value, enclave, load })
    }
    const [first] = byKeys
    if (first === undefined) return []
    const byConnections: Point[] = []
    for (const value of profile.connections) {
      // A process with one thread has one connection.
      const load = await loadOn(host, first.enclave, { threads: 1, processes: value })
      const { enclave } = first
      byConnections.push({ name: `${value}`, what: "connections", value, enclave, load })
    }
    return [
      ...(await measurePoints(byKeys, profile, say)),
      ...(await measurePoints(byConnections, profile, say)),
    ]
  } finally {
    for (const name of names) await host.stopEnclave(name)
  }
}

async function measurePoints(
  points: readonly Point[],
  { rounds, seconds }: ScaleProfile,
  say: Say,
): Promise<Scale[]> {
  const series = await interleave<Point, Sample>({
    ...{ contenders: points, rounds },
    measure: async ({ what, value, enclave, load }, round) => {
      if (round === 0) say(`signatures by the number of ${what}: ${value}`)
      const warmupSeconds = warmUpSeconds(what === "keys" ? value : 1)
      const running = runSignLoad({ ...load, seconds, warmupSeconds, cpuOf: [enclave.pid] })
      const enclaveRssMib = await largestRssMib(enclave.pid, running)
      return { ...(await running), enclaveRssMib }
    },
  })
  const baseline = series.get(points[0]?.name ?? "") ?? []
  return points.map(({ name, what, value }) => {
    const samples = series.get(name) ?? []
    const middle = (pick: (sample: Sample) => number) => median(samples.map(pick))
    const perSecond = (all: readonly Sample[]) => all.map((sample) => sample.per_second)
    return {
      ...{ what, value, key: KEY_TYPE, rounds },
      per_second: middle((sample) => sample.per_second),
      cpu_us_per_op: middle((one) => one.cpu_own_us_per_op + one.cpu_others_us_per_op),
      p50_us: middle((sample) => sample.p50_us),
      p99_us: middle((sample) => sample.p99_us),
      ratio: ratioByRound(perSecond(samples), perSecond(baseline)).median,
      enclave_rss_mib: middle(({ enclaveRssMib }) => enclaveRssMib),
      module_private_kib: middle((sample) => sample.module_private_kib),
    }
  })
}

/** While the load runs: afterwards its connections are gone. */
async function largestRssMib(pid: number, running: Promise<unknown>): Promise<number> {
  let largest = 0
  const sample = () => {
    largest = Math.max(largest, memoryOf(pid).rssMib)
  }
  const timer = setInterval(sample, SAMPLE_MS)
  try {
    await running
  } finally {
    clearInterval(timer)
  }
  sample()
  return largest
}

/** Signs with every token in turn; which key it is cannot be told, so nothing is verified. */
async function loadOn(
  host: BenchHost,
  enclave: Enclave,
  how: Pick<SignLoad, "threads" | "processes">,
): Promise<SignLoad> {
  return { with: await tlskeepToken(host, enclave, `${TOKEN}*`), keyType: KEY_TYPE, ...how }
}

async function tokens(host: BenchHost, count: number) {
  const made = []
  for (let i = 0; i < count; i++) {
    const label = `${TOKEN}-${i}`
    made.push({ label, web: await host.once(label, () => host.testbed.issue(KEY_TYPE)) })
  }
  return made
}
