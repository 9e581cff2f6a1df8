/** How long it takes until there is a signature: the module's loading, and the agent's start. */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { CHECKOUT } from "../../sim/testbed/checkout.js"
import { tlskeepToken } from "../contenders/signers.js"
import type { BenchHost } from "../host/bench-host.js"
import type { Say } from "../profile.js"
import type { Startup } from "../report/schema.js"
import { spreadOf } from "../report/statistics.js"
import { runSignLoad, type SignLoadResult } from "./sign-load.js"

const KEY_TYPE = "P-256"
const PIN = "startup-pin-1234"

export async function measureStartup(
  host: BenchHost,
  rounds: number,
  say: Say,
): Promise<Startup[]> {
  say("loading the module")
  const loaded: SignLoadResult[] = []
  const key = await host.signingKey(KEY_TYPE)
  const enclave = await host.enclave("startup")
  await enclave.provision([key])
  const target = await tlskeepToken(host, enclave, key.label)
  for (let round = 0; round < rounds; round++) {
    loaded.push(await runSignLoad({ with: target, keyType: KEY_TYPE, count: 1, warmupSeconds: 0 }))
  }
  await host.stopEnclave("startup")
  say("an agent's start to the first signature")
  const started: number[] = []
  for (let round = 0; round < rounds; round++) started.push(await agentToSignature(host, round))
  const inMs = (microseconds: number) => microseconds / 1_000
  return [
    figure(
      "module: dlopen",
      loaded.map((result) => inMs(result.load_us)),
    ),
    figure(
      "module: C_Initialize",
      loaded.map((result) => inMs(result.initialize_us)),
    ),
    figure(
      "module: listing, login, search and first signature",
      loaded.map((result) => inMs(result.first_signature_us)),
    ),
    figure("agent: start to first signature, enclave's boot included", started),
  ]
}

/**
 * Starts an agent with one token and, at the same moment, a consumer that waits for it.
 *
 * @returns milliseconds until it had a signature
 */
async function agentToSignature(host: BenchHost, round: number): Promise<number> {
  const { testbed } = host
  const name = `startup-${round}`
  const web = await testbed.issue(KEY_TYPE)
  const uri = await testbed.store(web, await testbed.kmsKey(), name)
  const runDir = join(host.dir, `${name}-run`)
  const pinFile = await host.once("startup-pin", async () => {
    const file = join(host.dir, "startup-pin")
    await writeFile(file, PIN, { mode: 0o600 })
    return file
  })
  const config = await testbed.writeAgentConfig(name, {
    ...{ enclaveName: name, runDir },
    commands: { test: ["/bin/true"], reload: ["/bin/true"], start: ["/bin/true"] },
    tokens: [
      {
        ...{ label: name, uri, target: "Snippet", path: join(host.dir, `${name}.conf`) },
        settings: { pin: PIN },
      },
    ],
    enclave: { cpu_count: 1 },
  })
  const startedAt = performance.now()
  const agent = testbed.startAgent(config)
  const endpointFile = join(runDir, "endpoint")
  while ((await readFile(endpointFile, "utf8").catch(() => "")) === "") {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  // The module waits by itself for the first token.
  await runSignLoad({
    with: {
      ...{ module: CHECKOUT.module, token: name, pinFile },
      env: { TLSKEEP_ENDPOINT_FILE: endpointFile, TLSKEEP_LOG: join(host.dir, "log", "load.log") },
    },
    ...{ keyType: KEY_TYPE, count: 1, warmupSeconds: 0 },
  })
  const passed = performance.now() - startedAt
  await agent.stop()
  await testbed.nitroCli("terminate-enclave", "--enclave-name", name)
  return passed
}

function figure(name: string, milliseconds: readonly number[]): Startup {
  return { figure: name, milliseconds: spreadOf(milliseconds), rounds: milliseconds.length }
}
