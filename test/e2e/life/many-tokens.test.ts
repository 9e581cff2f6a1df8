/** As many tokens as a configuration may have, brought in at one start of the agent: time and memory. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { memoryOf } from "../../../sim/testbed/process-memory.js"
import { Site } from "../../../sim/testbed/site.js"
import { Testbed } from "../../../sim/testbed/testbed.js"
import { fingerprintOf } from "../../../sim/testbed/web-certificates.js"
import { expectUnharmed, LONG, loadOn, untilStatus } from "./life.js"

/** Of AWS's agent and of ours. */
const MAX_TOKENS = 128
const TOKENS = LONG ? MAX_TOKENS : 16
const TIMEOUT_MS = LONG ? 540_000 : 120_000
/** A leak or a copy for every token would show; both run on small instances. */
const MAX_AGENT_MIB = 400
const MAX_ENCLAVE_MIB = 400

let testbed: Testbed
let site: Site
beforeAll(async () => {
  testbed = await Testbed.up()
}, 180_000)
afterAll(() => testbed?.down(), 60_000)

test(
  `${TOKENS} tokens in one run`,
  async () => {
    const tokens = Array.from({ length: TOKENS }, (_, index) => ({
      label: `t${index}`,
      keyType: index % 4 === 0 ? ("RSA-2048" as const) : ("P-256" as const),
    }))
    site = await Site.begin(testbed, {
      ...{ name: "many", service: "httpd", target: "Snippet", running: true, tokens },
    })
    const startedAt = performance.now()
    await site.presentsAll(TIMEOUT_MS)
    const seconds = (performance.now() - startedAt) / 1_000
    const agent = memoryOf(site.agent.pid)
    const [enclavePid = -1] = site.enclavePids
    const enclave = memoryOf(enclavePid)
    process.stdout.write(
      `      ${TOKENS} tokens: ${seconds.toFixed(1)} s to the last page, ` +
        `agent ${agent.rssMib} MiB (at most ${agent.peakMib}), ` +
        `enclave ${enclave.rssMib} MiB (at most ${enclave.peakMib}), ` +
        `${(await site.server.generations()) - 1} reloads\n`,
    )
    expect(agent.peakMib).toBeLessThan(MAX_AGENT_MIB)
    expect(enclave.peakMib).toBeLessThan(MAX_ENCLAVE_MIB)

    // The page comes first, then the agent's own look at it.
    await untilStatus(site, (_token, status) => {
      expect(status.tokens.map(({ label }) => label)).toEqual(tokens.map(({ label }) => label))
      for (const { state, error } of status.tokens)
        expect({ state, error }).toEqual({ state: "serving" })
    })

    const load = loadOn(site)
    // Each client goes through the names by itself, and none faster than the slowest of them.
    await load.until(({ presented }) => presented.length >= TOKENS)
    const { presented } = await expectUnharmed(load, `${TOKENS} names`)
    expect(
      presented.map(({ serverName, fingerprint }) => [serverName, fingerprint]).sort(),
    ).toEqual(site.tokens.map(({ serverName, web }) => [serverName, fingerprintOf(web)]).sort())
  },
  LONG ? 600_000 : 180_000,
)
