/**
 * The host's clock jumps by days, forward and back, under an agent that runs: it goes on asking the source
 * and having the token attested, by its own count of the time.
 */
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Clock } from "../../../sim/testbed/clock.js"
import { Site } from "../../../sim/testbed/site.js"
import { Testbed } from "../../../sim/testbed/testbed.js"
import { BETWEEN, expectUnharmed, LONG, loadOn, statusOf, untilStatus } from "./life.js"

const DAY_SECS = 86_400
/** Longer than a token's lease of 48 h. */
const JUMPS_SECS = LONG
  ? [3 * DAY_SECS, -3 * DAY_SECS, 3_600, -3_600, 0]
  : [3 * DAY_SECS, -3 * DAY_SECS]
/** What one jump may cost beside the usual interval. */
const TOLERANCE_MS = 60_000

let testbed: Testbed
let site: Site
let clock: Clock
beforeAll(async () => {
  testbed = await Testbed.up()
  clock = Clock.create(join(testbed.dir, "faketime"))
  site = await Site.create(testbed, {
    ...{ name: "clock", service: "httpd", target: "Snippet" },
    tokens: [{ label: "web", keyType: "P-256" }],
    agent: { options: { sync_interval_secs: 1 }, token: { refresh_interval_secs: 3 } },
    agentEnv: clock.env,
  })
}, 180_000)
afterAll(() => testbed?.down(), 60_000)

test(
  "the clock jumps by days, forward and back",
  async () => {
    const vmm = site.vmmPid
    const load = loadOn(site)
    await load.more(BETWEEN)
    for (const offsetSecs of JUMPS_SECS) {
      clock.set(offsetSecs)
      const { now, tokens } = await statusOf(site)
      // The agent does go by this clock.
      expect(Math.abs(now - (Date.now() + offsetSecs * 1_000))).toBeLessThan(TOLERANCE_MS)
      const attestedAt = tokens[0]?.enclave?.attestedAt ?? Number.NaN
      await untilStatus(site, ({ enclave }) =>
        expect(enclave?.attestedAt).toBeGreaterThan(attestedAt),
      )
      const fingerprint = await site.renew()
      await load.settlesOn(fingerprint, { count: BETWEEN })
      await untilStatus(site, (token) => {
        expect(token).toMatchObject({ state: "serving", failures: 0 })
      })
    }
    await expectUnharmed(load, "clock jumped")
    expect(site.vmmPid).toBe(vmm)
  },
  LONG ? 300_000 : 120_000,
)
