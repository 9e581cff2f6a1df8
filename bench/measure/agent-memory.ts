/** Memory of an agent and its enclave with many tokens, and how long it takes to bring them in. */
import { join } from "node:path"
import { liveEnclaves } from "../../sim/nitro/state.js"
import { simPaths } from "../../sim/paths.js"
import { childPids } from "../../sim/testbed/child-pids.js"
import type { BenchHost } from "../host/bench-host.js"
import type { Say } from "../profile.js"
import type { Memory, Startup } from "../report/schema.js"
import { spreadOf } from "../report/statistics.js"
import { enclaveWithTokens } from "../report/targets.js"
import { memoryMapsOf } from "./process-tree.js"

/** As a site that grew: one in four RSA, the others P-256. */
const RSA_EVERY = 4
const TIMEOUT_MS = 600_000

export interface AgentMemory {
  memory: Memory[]
  startup: Startup[]
}

/** @param counts - numbers of tokens, 128 at most */
export async function measureAgentMemory(
  host: BenchHost,
  counts: readonly number[],
  say: Say,
): Promise<AgentMemory> {
  const measured: AgentMemory = { memory: [], startup: [] }
  for (const count of counts) {
    say(`an agent with ${count} ${count === 1 ? "token" : "tokens"}`)
    const { memory, milliseconds } = await runAgent(host, count)
    measured.memory.push(...memory)
    measured.startup.push({
      figure: `agent: start to the last of ${count} ${count === 1 ? "token" : "tokens"} brought in`,
      milliseconds: spreadOf([milliseconds]),
      rounds: 1,
    })
  }
  return measured
}

async function runAgent(host: BenchHost, count: number) {
  const { testbed } = host
  const name = `agent-${count}`
  const keyArn = await testbed.kmsKey()
  const tokens = []
  for (let i = 0; i < count; i++) {
    const web = await testbed.issue(i % RSA_EVERY === 0 ? "RSA-2048" : "P-256")
    const label = `${name}-${i}`
    const uri = await testbed.store(web, keyArn, label)
    tokens.push({ label, uri, target: "Snippet" as const, path: join(host.dir, `${label}.conf`) })
  }
  const config = await testbed.writeAgentConfig(name, {
    ...{ enclaveName: name, runDir: join(host.dir, `${name}-run`), tokens },
    commands: { test: ["/bin/true"], reload: ["/bin/true"], start: ["/bin/true"] },
    enclave: { cpu_count: 1 },
  })
  const startedAt = performance.now()
  const agent = testbed.startAgent(config)
  for (let from = 0, seen = 0; seen < count; seen++) {
    const matches = (line: string) => line.includes('"msg":"token provisioned"')
    const line = await agent.waitForLine(matches, { from, timeoutMs: TIMEOUT_MS })
    from = agent.lines.indexOf(line, from) + 1
  }
  const milliseconds = performance.now() - startedAt
  const enclaves = liveEnclaves(simPaths(testbed.info.dir))
    .filter(({ enclaveName }) => enclaveName === name)
    .flatMap((enclave) => childPids(enclave.process.pid))
  const memory = [
    ...enclaves.map((pid) => row(enclaveWithTokens(count), pid)),
    row(`agent, ${count} ${count === 1 ? "token" : "tokens"}`, agent.pid),
  ]
  await agent.stop()
  await testbed.nitroCli("terminate-enclave", "--enclave-name", name)
  return { memory, milliseconds }
}

function row(process: string, pid: number): Memory {
  const { rssMib, privateMib, pssMib } = memoryMapsOf(pid)
  return { process, rss_mib: rssMib, private_mib: privateMib, pss_mib: pssMib }
}
