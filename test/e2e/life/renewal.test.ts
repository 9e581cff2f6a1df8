/**
 * Renewals with a new key under load: whichever the server, the kind of key and the way its files are
 * written, no handshake fails, and in the end the new certificate alone is served.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Site, type SiteOptions } from "../../../sim/testbed/site.js"
import { Testbed } from "../../../sim/testbed/testbed.js"
import type { KeyType } from "../../../sim/testbed/web-certificates.js"
import { BETWEEN, expectUnharmed, LONG, loadOn } from "./life.js"

const RENEWALS = LONG ? 10 : 3
/** Of the new keys, in turn: renewed keys may be of another kind. */
const KEY_TYPES: readonly KeyType[] = ["P-256", "RSA-2048", "P-384"]

interface Case extends Omit<SiteOptions, "tokens"> {
  keyType: KeyType
}

const CASES: Case[] = [
  { name: "httpd-snippet", service: "httpd", target: "Snippet", keyType: "RSA-2048" },
  { name: "httpd-conf", service: "httpd", target: "Conf", keyType: "P-256" },
  { name: "nginx", service: "nginx", target: "Conf", keyType: "RSA-2048" },
]
const LONG_CASES: Case[] = [
  { name: "nginx-snippet", service: "nginx", target: "Snippet", keyType: "P-256" },
  ...(["prefork", "worker"] as const).map(
    (mpm): Case => ({
      ...{ name: mpm, mpm, service: "httpd", target: "Snippet", keyType: "P-256" },
      binding: "provider",
    }),
  ),
]

let testbed: Testbed
beforeAll(async () => {
  testbed = await Testbed.up()
}, 180_000)
afterAll(() => testbed?.down(), 60_000)

describe.each([...CASES, ...(LONG ? LONG_CASES : [])])("$name", ({ keyType, ...options }) => {
  let site: Site
  beforeAll(async () => {
    site = await Site.create(testbed, {
      ...options,
      tokens: [{ label: options.name, keyType }],
      agent: { options: { sync_interval_secs: 1 } },
    })
  }, 120_000)
  afterAll(() => site?.stop(), 60_000)

  test(
    `${RENEWALS} renewals in a row`,
    async () => {
      const pid = await site.server.pid()
      const load = loadOn(site)
      await load.more(BETWEEN)
      const served = load.progress.presented.map(({ fingerprint }) => fingerprint)
      for (let renewal = 0; renewal < RENEWALS; renewal++) {
        const fingerprint = await site.renew(site.token, KEY_TYPES[renewal % KEY_TYPES.length])
        await load.settlesOn(fingerprint, { count: BETWEEN })
        served.push(fingerprint)
      }
      const report = await expectUnharmed(load, options.name)
      // Each came once, in this order, and none came back.
      expect(report.presented.map(({ fingerprint }) => fingerprint)).toEqual(served)
      expect(await site.server.pid()).toBe(pid)
    },
    LONG ? 300_000 : 90_000,
  )
})
