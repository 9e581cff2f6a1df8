/**
 * Whatever ends, or fails, beside a web server under load: agent, enclave, S3, the server's own
 * configuration. The server is not touched, and no handshake fails.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { CHECKOUT } from "../../../sim/testbed/checkout.js"
import { Site } from "../../../sim/testbed/site.js"
import { Testbed } from "../../../sim/testbed/testbed.js"
import type { Load } from "../load/load.js"
import { BETWEEN, expectUnharmed, LONG, loadOn, statusOf, untilStatus, untouched } from "./life.js"

const ROUNDS = LONG ? 5 : 1
const TIMEOUT_MS = LONG ? 300_000 : 90_000
/** How long the module lets a signature wait for an enclave that is away. */
const MODULE_DEADLINE_MS = 10_000

let testbed: Testbed
let site: Site
let load: Load | undefined
beforeAll(async () => {
  testbed = await Testbed.up({ outages: true })
  site = await Site.create(testbed, {
    ...{ name: "faults", service: "httpd", target: "Snippet" },
    tokens: [{ label: "web", keyType: "RSA-2048" }],
    agent: {
      options: { sync_interval_secs: 1 },
      token: { refresh_interval_secs: 5 },
    },
  })
}, 180_000)
afterAll(() => testbed?.down(), 60_000)
afterEach(async () => {
  await load?.stop()
  await testbed.outages.s3.mend()
  await testbed.outages.imds.mend()
  await site.server.mendConfiguration()
  if (!site.agent.running) site.restartAgent()
  await untilStatus(site, ({ state }) => expect(state).toBe("serving"))
}, 180_000)

async function underLoad(): Promise<Load> {
  load = loadOn(site)
  await load.more(BETWEEN)
  return load
}

/** Has the load go on for a while. */
async function forAWhile(running: Load, rounds = 1): Promise<void> {
  await running.more(BETWEEN * rounds)
}

/** Waits for an agent that has every token in order in the enclave that ran before it. */
async function adopted(): Promise<void> {
  await untilStatus(site, ({ state }, { pid, enclave }) => {
    expect(pid).toBe(site.agent.pid)
    expect(enclave).toMatchObject({ state: "up", adopted: true })
    expect(state).toBe("serving")
  })
}

test.each(["SIGKILL", "SIGTERM"] as const)(
  "the agent ends by %s and comes back: server, enclave and files are as they were",
  async (signal) => {
    const before = await untouched(site)
    const vmm = site.vmmPid
    const running = await underLoad()
    for (let round = 0; round < ROUNDS; round++) {
      await site.agent.stop(signal)
      await forAWhile(running)
      site.restartAgent()
      await adopted()
      await forAWhile(running)
    }
    await expectUnharmed(running, `agent ended by ${signal}`)
    expect(await untouched(site)).toEqual(before)
    expect(site.vmmPid).toBe(vmm)
  },
  TIMEOUT_MS,
)

test(
  "the enclave is killed: another takes its place, handshakes wait and none fails",
  async () => {
    const { generations, pid } = await untouched(site)
    const running = await underLoad()
    for (let round = 0; round < ROUNDS; round++) {
      const vmm = site.vmmPid
      site.killEnclave()
      await forAWhile(running)
      await untilStatus(site, ({ state }, { enclave }) => {
        expect(enclave).toMatchObject({ state: "up", adopted: false })
        expect(state).toBe("serving")
      })
      expect(site.vmmPid).not.toBe(vmm)
    }
    const report = await expectUnharmed(running, "enclave killed")
    expect(report.longestGapMs).toBeLessThan(MODULE_DEADLINE_MS)
    // The same key under the same name: there is nothing that the server would have to read anew.
    expect(await untouched(site)).toMatchObject({ pid, generations })
  },
  TIMEOUT_MS,
)

test(
  "tlskeep enclave replace: everything moves to another enclave",
  async () => {
    const { generations, pid } = await untouched(site)
    const running = await underLoad()
    for (let round = 0; round < ROUNDS; round++) {
      const [vmm, endpoint] = [site.vmmPid, readFileSync(join(site.runDir, "endpoint"), "utf8")]
      const replaced = await site.tlskeep("enclave", "replace")
      expect(replaced.exitCode, replaced.stderr).toBe(0)
      await forAWhile(running)
      expect(site.vmmPids).toHaveLength(1)
      expect(site.vmmPid).not.toBe(vmm)
      expect(readFileSync(join(site.runDir, "endpoint"), "utf8")).not.toBe(endpoint)
      await untilStatus(site, ({ state }) => expect(state).toBe("serving"))
    }
    await expectUnharmed(running, "enclave replaced")
    expect(await untouched(site)).toMatchObject({ pid, generations })
  },
  TIMEOUT_MS,
)

test(
  "a replacement that KMS refuses: the enclave that was there goes on",
  async () => {
    const before = await untouched(site)
    const vmm = site.vmmPid
    const running = await underLoad()
    const refused = await site.tlskeep("enclave", "replace", "--image", CHECKOUT.changedImage)
    expect(refused.exitCode).toBe(1)
    expect(refused.stderr).toContain("kms-access-denied")
    await forAWhile(running)
    await expectUnharmed(running, "replacement refused")
    expect(site.vmmPids).toEqual([vmm])
    expect(await untouched(site)).toEqual(before)
  },
  TIMEOUT_MS,
)

test(
  "the server's configuration is broken at a renewal: the last good files stay, and it is made up for",
  async () => {
    const before = await untouched(site)
    const running = await underLoad()
    await site.server.breakConfiguration()
    const fingerprint = await site.renew()
    const { error } = await untilStatus(site, ({ state, failures }) => {
      expect(state).toBe("degraded")
      expect(failures).toBeGreaterThanOrEqual(2)
    })
    // What the server itself says of it, for whoever reads the status.
    expect(error?.code).toBe("config-test-failed")
    expect(error?.reason).toContain("NoSuchDirective")
    expect(error?.advice).toBeTruthy()
    await forAWhile(running)
    const contents = ({ files }: typeof before) =>
      Object.entries(files).map(([path, { sha256, mode }]) => ({ path, sha256, mode }))
    const meanwhile = await untouched(site)
    expect(contents(meanwhile)).toEqual(contents(before))
    expect(meanwhile).toMatchObject({ pid: before.pid, generations: before.generations })
    expect(running.progress.presented).toHaveLength(1)

    await site.server.mendConfiguration()
    await running.settlesOn(fingerprint, { count: BETWEEN })
    await untilStatus(site, (token) => {
      expect(token).toMatchObject({ state: "serving", failures: 0 })
      expect(token.error).toBeUndefined()
    })
    const { presented } = await expectUnharmed(running, "configuration broken and mended")
    expect(presented).toHaveLength(2)
  },
  TIMEOUT_MS,
)

/** One that does not answer takes all its time-outs before it is known to be away. */
const OUTAGES = LONG ? (["refusing", "silent"] as const) : (["refusing"] as const)
test.each(OUTAGES)(
  "S3 is away (%s) for the whole run, over a restart of the agent: what the enclave has is served",
  async (how) => {
    const before = await untouched(site)
    await testbed.outages.s3.cut(how)
    const running = await underLoad()
    await site.killAgent()
    await forAWhile(running)
    site.restartAgent()
    const { error, enclave } = await untilStatus(site, (token, { pid }) => {
      expect(pid).toBe(site.agent.pid)
      expect(token.failures).toBeGreaterThanOrEqual(1)
      expect(token.enclave).toBeDefined()
    })
    expect(error?.code).toBe("s3-unreachable")
    // A source that is away keeps no token from being attested again.
    await untilStatus(site, (token) => {
      expect(token.enclave?.attestedAt).toBeGreaterThan(enclave?.attestedAt ?? Number.NaN)
    })
    await forAWhile(running)
    expect(await untouched(site)).toEqual(before)

    await testbed.outages.s3.mend()
    const fingerprint = await site.renew()
    await running.settlesOn(fingerprint, { count: BETWEEN })
    await expectUnharmed(running, `S3 ${how}`)
  },
  TIMEOUT_MS,
)

test(
  "IMDS is away: the token is attested again with the credentials that are known",
  async () => {
    const running = await underLoad()
    await testbed.outages.imds.cut()
    const { enclave } = await untilStatus(site, ({ state }) => expect(state).toBe("serving"))
    for (let round = 0; round < 2; round++) {
      await untilStatus(site, (token) => {
        expect(token.enclave?.attestedAt).toBeGreaterThan(
          (enclave?.attestedAt ?? 0) + round * 5_000,
        )
      })
    }
    expect((await statusOf(site)).tokens[0]?.state).toBe("serving")
    await testbed.outages.imds.mend()
    await expectUnharmed(running, "IMDS away")
  },
  TIMEOUT_MS,
)

test(
  "KMS is away: the token keeps its time, and is attested again afterwards",
  async () => {
    const running = await underLoad()
    await testbed.outages.kms.cut()
    const { error, enclave } = await untilStatus(site, ({ failures }) =>
      expect(failures).toBeGreaterThanOrEqual(1),
    )
    expect(error?.code).toMatch(/^kms-/)
    await forAWhile(running)
    await testbed.outages.kms.mend()
    await untilStatus(site, (token) => {
      expect(token.state).toBe("serving")
      expect(token.enclave?.attestedAt).toBeGreaterThan(enclave?.attestedAt ?? Number.NaN)
    })
    await expectUnharmed(running, "KMS away")
    expect((await statusOf(site)).enclave.state).toBe("up")
    expect(existsSync(site.token.targetFile)).toBe(true)
  },
  TIMEOUT_MS,
)
