/** Handshakes: every contender's Apache under `ab`, one case after the other. */
import { join } from "node:path"
import type { HttpsContender } from "../contenders/contender.js"
import {
  KeyFileServer,
  SofthsmRemoteServer,
  SofthsmServer,
  TlskeepEngineServer,
  TlskeepProviderServer,
} from "../contenders/https-servers.js"
import type { BenchHost } from "../host/bench-host.js"
import type { Say } from "../profile.js"
import { type Case, resultsOf, type Sample } from "../report/result.js"
import type { ContenderName, Result, ServedKeyType } from "../report/schema.js"
import { runAb } from "./ab.js"
import { watchIdle } from "./idle.js"
import { cpuMicroseconds } from "./process-tree.js"
import { interleave } from "./rounds.js"

export interface HandshakeProfile {
  keys: readonly ServedKeyType[]
  protocols: readonly ("TLS1.2" | "TLS1.3")[]
  clients: readonly number[]
  contenders: readonly ContenderName[]
  rounds: number
  /** A round of one contender. */
  seconds: number
}

const SERVERS = [
  ["key-file", KeyFileServer],
  ["tlskeep-engine", TlskeepEngineServer],
  ["tlskeep-provider", TlskeepProviderServer],
  ["softhsm-p11-kit", SofthsmRemoteServer],
  ["softhsm", SofthsmServer],
] as const

const BASELINE = "key-file"
/** Enough for every process and thread to have its connections, sessions and logins. */
const WARM_UP_REQUESTS = 300

/** Makes and starts the contenders of one kind of key. */
export async function startServers(
  host: BenchHost,
  keyType: ServedKeyType,
  wanted: readonly ContenderName[],
): Promise<HttpsContender[]> {
  const servers = SERVERS.filter(([name]) => wanted.includes(name)).map(
    ([, Server]) => new Server(host, keyType),
  )
  // One after the other: SoftHSM's processes that start in the same instant may see no token.
  for (const server of servers) {
    await server.prepare()
    await server.start()
  }
  return servers
}

export async function measureHandshakes(
  servers: readonly HttpsContender[],
  host: BenchHost,
  profile: HandshakeProfile,
  say: Say,
): Promise<Result[]> {
  const results: Result[] = []
  for (const protocol of profile.protocols) {
    for (const clients of profile.clients) {
      const key = servers[0]?.keyType
      if (key === undefined) continue
      const name = `${protocol} handshakes, ${key}, ${clients} clients`
      say(name)
      const about: Case = { section: "handshakes", name, key, protocol, clients }
      results.push(...(await measureCase(about, servers, host, profile)))
    }
  }
  return results
}

async function measureCase(
  about: Case,
  servers: readonly HttpsContender[],
  host: BenchHost,
  { rounds, seconds }: HandshakeProfile,
): Promise<Result[]> {
  const requests = new Map<string, number>()
  const load = (server: HttpsContender, count: number) =>
    runAb({
      ...{ port: server.port, page: server.page, clients: about.clients, requests: count },
      protocol: about.protocol ?? "TLS1.3",
      scratchFile: join(host.dir, "ab"),
    })
  const series = await interleave<HttpsContender, Sample>({
    contenders: servers,
    rounds,
    // ab is told a number, not a time: only then every single request can be accounted for.
    warmUp: async (server) => {
      const { perSecond } = await load(server, WARM_UP_REQUESTS)
      requests.set(server.name, Math.max(100, Math.round(perSecond * seconds)))
    },
    measure: async (server) => {
      const count = requests.get(server.name) ?? WARM_UP_REQUESTS
      const pids = await server.pids()
      const before = cpuMicroseconds(pids)
      const idle = watchIdle()
      const { requests: made, ...figures } = await load(server, count)
      const idleShare = idle()
      return { ...figures, idleShare, cpuUsPerOp: (cpuMicroseconds(pids) - before) / made }
    },
  })
  return resultsOf(about, series, BASELINE)
}
