/** The enclave is ended and comes back while Apache serves: handshakes wait, none fails. */
import { readFile } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, assert, beforeAll, expect, test, vi } from "vitest"
import { childPids } from "../../sim/testbed/child-pids.js"
import { Deployment, type DeploymentOptions } from "../../sim/testbed/deployment.js"
import { Load } from "../../sim/testbed/handshake.js"
import { Testbed } from "../../sim/testbed/testbed.js"

const CLIENTS = 8
const BINDINGS = ["engine", "provider"] as const
/** Longer than the module's deadline in either test: what the module gives up must be seen to fail. */
const HANDSHAKE_TIMEOUT_MS = 60_000

let testbed: Testbed
beforeAll(async () => {
  testbed = await Testbed.up()
}, 90_000)
afterAll(() => testbed?.down(), 60_000)

async function underLoad(
  options: Omit<DeploymentOptions, "keyType">,
  restart: (deployment: Deployment, load: Load) => Promise<void>,
): Promise<void> {
  const deployment = await Deployment.create(testbed, { ...options, keyType: "P-256" })
  const apacheBefore = await deployment.apache.pid()
  const { bootedAt } = await deployment.status()
  const load = new Load(() => deployment.handshake(HANDSHAKE_TIMEOUT_MS))
  load.start(CLIENTS)
  await load.reach(100)

  await restart(deployment, load)
  await load.more(200)
  await load.stop()

  expect(load.failures).toEqual([])
  // Also from workers, which could not open the file themselves.
  const logged = await readFile(deployment.apache.moduleLog, "utf8")
  expect(logged).toMatch(/warning tlskeep-pkcs11\[\d+\]: no connection to the enclave: /)
  expect(logged).toMatch(/info tlskeep-pkcs11\[\d+\]: connected to the enclave again/)
  const after = await deployment.status()
  expect(after.bootedAt).toBeGreaterThan(bootedAt)
  expect(await deployment.signatures()).toBeGreaterThan(100)
  expect(await deployment.apache.pid()).toBe(apacheBefore)
  expect(await deployment.fetch()).toBe(deployment.apache.page.trim())
}

test.each(BINDINGS)(
  "through the %s",
  async (binding) => {
    await underLoad({ name: binding, binding }, async (deployment) => {
      const logged = deployment.agent.lines.length
      await deployment.terminateEnclave()
      await deployment.waitForEvent("token provisioned", logged)
    })
  },
  150_000,
)

test.each(BINDINGS)(
  "through the %s, in workers that Apache starts meanwhile",
  async (binding) => {
    const directives = [
      ...["StartServers 1", "ThreadsPerChild 4", "MinSpareThreads 4", "MaxSpareThreads 8"],
      ...["ServerLimit 8", "MaxRequestWorkers 32"],
    ]
    // The agent starts anew in between, which takes its time where the machine is busy.
    const env = { TLSKEEP_DEADLINE_MS: "50000", TLSKEEP_LIST_DEADLINE_MS: "50000" }
    await underLoad(
      { name: `${binding}-newborn`, binding, directives, env },
      async (deployment, load) => {
        const apache = await deployment.apache.pid()
        assert(apache !== undefined)
        await deployment.agent.stop()
        await deployment.terminateEnclave()
        const workers = (await childPids(apache)).length
        // Threads that wait leave none to spare.
        load.start(3 * CLIENTS)
        await vi.waitFor(
          async () => expect((await childPids(apache)).length).toBeGreaterThan(workers),
          { timeout: 20_000 },
        )
        // As long as pkcs11-provider's threads wait for one another, and half as much again.
        await sleep(1_500)
        const agent = testbed.startAgent(deployment.configFile)
        await agent.waitForLine((line) => line.includes('"msg":"token provisioned"'))
      },
    )
  },
  150_000,
)
