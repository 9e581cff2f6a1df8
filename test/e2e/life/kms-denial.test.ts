/**
 * KMS denies the key on refresh: the enclave gives it up, the status says so in words that help, and when
 * the policy is mended the token comes back by itself.
 */
import { afterAll, beforeAll, expect, test } from "vitest"
import { Site } from "../../../sim/testbed/site.js"
import { Testbed } from "../../../sim/testbed/testbed.js"
import { BETWEEN, expectUnharmed, loadOn, untilStatus, untouched } from "./life.js"

let testbed: Testbed
let site: Site
beforeAll(async () => {
  testbed = await Testbed.up()
  site = await Site.create(testbed, {
    ...{ name: "denied", service: "nginx", target: "Snippet" },
    tokens: [{ label: "web", keyType: "P-256" }],
    agent: { token: { refresh_interval_secs: 2 } },
  })
}, 180_000)
afterAll(() => testbed?.down(), 60_000)

test("denied on refresh: released, and back when the policy is mended", async () => {
  const before = await untouched(site)
  const beforehand = loadOn(site)
  await beforehand.more(BETWEEN)
  await expectUnharmed(beforehand, "before the denial")

  // No client gets the module's wait for an enclave: there is no key, which is an answer.
  const meanwhile = loadOn(site, { timeoutMs: 5_000 })
  await testbed.denyDecrypt(site.token.keyArn)
  const released = await untilStatus(site, ({ state }) => expect(state).toBe("released"))
  expect(released.enclave).toBeUndefined()
  expect(released.error).toMatchObject({ code: "kms-explicit-deny" })
  expect(released.error?.advice).toBeTruthy()
  expect(released.nextRetryAt).toBeGreaterThan(0)
  const { stdout } = await site.tlskeep("status")
  expect(stdout).toContain("kms-explicit-deny")
  const { failed } = meanwhile.progress
  await meanwhile.until((progress) => progress.failed > failed)
  await meanwhile.stop()

  await testbed.denyDecrypt(site.token.keyArn, false)
  await untilStatus(site, (token) => {
    expect(token).toMatchObject({ state: "serving", failures: 0 })
    expect(token.enclave).toBeDefined()
  })
  const afterwards = loadOn(site)
  await afterwards.more(BETWEEN)
  await expectUnharmed(afterwards, "after the denial")
  expect(await untouched(site)).toMatchObject({ pid: before.pid })
}, 120_000)
