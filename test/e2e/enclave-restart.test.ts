/** The enclave is ended and comes back while Apache serves: handshakes wait, none fails. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Deployment } from "../../sim/testbed/deployment.js"
import { Load } from "../../sim/testbed/handshake.js"
import { Testbed } from "../../sim/testbed/testbed.js"

const CLIENTS = 8

describe.each(["engine", "provider"] as const)("through the %s", (binding) => {
  let testbed: Testbed
  let deployment: Deployment
  beforeAll(async () => {
    testbed = await Testbed.up()
    deployment = await Deployment.create(testbed, { name: "restart", keyType: "P-256", binding })
  }, 90_000)
  afterAll(() => testbed?.down(), 60_000)

  test("handshakes during and after the restart succeed", async () => {
    const apacheBefore = await deployment.apache.pid()
    const { bootedAt } = await deployment.status()
    const load = new Load(() => deployment.handshake())
    load.start(CLIENTS)
    await load.reach(100)

    const logged = deployment.agent.lines.length
    await deployment.terminateEnclave()
    await deployment.waitForEvent("token provisioned", logged)
    await load.reach(load.done + 200)
    await load.stop()

    expect(load.failures).toEqual([])
    const after = await deployment.status()
    expect(after.bootedAt).toBeGreaterThan(bootedAt)
    expect(await deployment.signatures()).toBeGreaterThan(100)
    expect(await deployment.apache.pid()).toBe(apacheBefore)
    expect(await deployment.fetch()).toBe(deployment.apache.page.trim())
  }, 90_000)
})
