/** A whole run: brings everything up, measures section after section, judges, and takes all down. */

import { BenchHost } from "./host/bench-host.js"
import { stopWhenInterrupted } from "./host/interrupt.js"
import { loadAverage, machineOf, versions } from "./host/machine.js"
import { measureAgentMemory } from "./measure/agent-memory.js"
import { measureHandshakes, startServers } from "./measure/handshakes.js"
import { measureInstructions } from "./measure/instructions.js"
import { measureMemory } from "./measure/memory.js"
import { pipeRoundTripUs } from "./measure/pipe-round-trip.js"
import { measureRoundTrips } from "./measure/round-trips.js"
import { measureScale } from "./measure/scale.js"
import { measureSignatures } from "./measure/signatures.js"
import { measureStartup } from "./measure/startup.js"
import type { Profile, Say, Section } from "./profile.js"
import { type Report, reportSchema, SCHEMA_VERSION } from "./report/schema.js"
import { judge } from "./report/targets.js"

type Measured = Pick<
  Report,
  "results" | "round_trips" | "scale" | "memory" | "startup" | "instructions"
>

/** @throws the first failure of any part: a figure with errors behind it is none */
export async function runBenchmark(
  profile: Profile,
  sections: readonly Section[],
  say: Say,
): Promise<Report> {
  const startedAt = new Date()
  const before = { load: loadAverage(), pipeRoundTripUs: await pipeRoundTripUs() }
  say("bringing the local AWS up")
  const host = await BenchHost.up()
  stopWhenInterrupted(host.testbed)
  let measured: Measured
  try {
    measured = await measure(host, profile, sections, say)
  } finally {
    await host.down()
  }
  return reportSchema.parse({
    schema_version: SCHEMA_VERSION,
    profile: profile.name,
    started_at: startedAt.toISOString(),
    duration_secs: Math.round((Date.now() - startedAt.getTime()) / 1_000),
    machine: machineOf(before, loadAverage()),
    versions: await versions(),
    ...measured,
    targets: judge(measured),
  })
}

async function measure(
  host: BenchHost,
  profile: Profile,
  sections: readonly Section[],
  say: Say,
): Promise<Measured> {
  const wants = (section: Section) => sections.includes(section)
  const measured: Measured = {
    ...{ results: [], round_trips: [], scale: [], memory: [], startup: [], instructions: [] },
  }
  const { keys, contenders } = profile.handshakes
  if (wants("handshakes")) {
    for (const key of keys) {
      say(`starting everybody's Apache with ${key}`)
      const servers = await startServers(host, key, contenders)
      measured.results.push(...(await measureHandshakes(servers, host, profile.handshakes, say)))
      measured.memory.push(...(await measureMemory(host, servers, key)))
      for (const server of servers) await server.stop()
    }
  }
  if (wants("round-trips")) {
    const options = { contenders, ...profile.roundTrips }
    measured.round_trips.push(...(await measureRoundTrips(host, options, say)))
  }
  // Their agents and enclaves would only be neighbours from here on.
  for (const key of keys) if (wants("handshakes") || wants("round-trips")) await host.stopSite(key)
  if (wants("signatures")) {
    measured.results.push(...(await measureSignatures(host, profile.signatures, say)))
  }
  if (wants("scale")) measured.scale.push(...(await measureScale(host, profile.scale, say)))
  if (wants("startup")) {
    const { rounds, agentTokens } = profile.startup
    measured.startup.push(...(await measureStartup(host, rounds, say)))
    const agents = await measureAgentMemory(host, agentTokens, say)
    measured.startup.push(...agents.startup)
    measured.memory.push(...agents.memory)
  }
  if (wants("instructions")) {
    const { signatures } = profile.instructions
    measured.instructions.push(...(await measureInstructions(host, signatures, say)))
  }
  return measured
}
