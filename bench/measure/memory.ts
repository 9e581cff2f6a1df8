/** Memory of what runs: enclave, agent, and a worker of Apache with the module beside one without. */
import type { HttpsContender } from "../contenders/contender.js"
import type { BenchHost } from "../host/bench-host.js"
import type { Memory, ServedKeyType } from "../report/schema.js"
import { median } from "../report/statistics.js"
import { memoryMapsOf } from "./process-tree.js"

/** After the handshakes of a kind of key, which every worker has taken part in. */
export async function measureMemory(
  host: BenchHost,
  servers: readonly HttpsContender[],
  keyType: ServedKeyType,
): Promise<Memory[]> {
  const site = await host.site(keyType)
  const workers: Memory[] = []
  for (const server of servers) {
    workers.push(row(`Apache worker, ${server.name}, ${keyType}`, await server.workers()))
  }
  return [
    row(`enclave, 1 token, ${keyType}`, site.enclavePids),
    row(`agent, 1 token, ${keyType}`, [site.agent.pid]),
    ...workers,
  ]
}

/** Medians over the processes. */
function row(process: string, pids: readonly number[]): Memory {
  const maps = pids.map(memoryMapsOf)
  const middle = (pick: (one: (typeof maps)[number]) => number) => median(maps.map(pick))
  return {
    process,
    rss_mib: middle(({ rssMib }) => rssMib),
    private_mib: middle(({ privateMib }) => privateMib),
    pss_mib: middle(({ pssMib }) => pssMib),
  }
}
