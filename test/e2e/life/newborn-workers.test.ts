/**
 * Workers that a server starts at any moment of a renewal look their key up again: with those that come
 * before the reload it is the old one, and those that come long after it have to find the new one by what
 * their parent knew of it then. Apache starts some all the time where MaxConnectionsPerChild is set; nginx
 * whenever a worker ends.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { NginxServer } from "../../../sim/testbed/nginx-server.js"
import type { OpensslBinding } from "../../../sim/testbed/openssl-conf.js"
import { Site, type SiteOptions } from "../../../sim/testbed/site.js"
import { Testbed } from "../../../sim/testbed/testbed.js"
import type { KeyType } from "../../../sim/testbed/web-certificates.js"
import type { WebServer } from "../../../sim/testbed/web-server.js"
import { BETWEEN, expectUnharmed, LONG, loadOn, untilStatus } from "./life.js"

/** Time for workers to be born in, as the servers of large sites take to be reloaded. */
const RELOAD_DELAY_SECS = LONG ? 5 : 2

let testbed: Testbed
let site: Site | undefined
beforeAll(async () => {
  testbed = await Testbed.up()
}, 180_000)
afterAll(() => testbed?.down(), 60_000)
afterEach(() => site?.stop(), 60_000)

function slowly({ commands }: WebServer): Record<string, unknown> {
  const wait = ["sh", "-c", `sleep ${RELOAD_DELAY_SECS}; exec "$@"`, "sh"]
  return { sync_interval_secs: 1, reload_command: [...wait, ...commands.reload] }
}

async function renewUnderLoad(
  options: Omit<SiteOptions, "tokens" | "agent">,
  keyTypes: readonly [KeyType, KeyType],
  recycle: (site: Site) => Promise<void> = async () => {},
): Promise<void> {
  const [before, after] = keyTypes
  site = await Site.create(testbed, {
    ...options,
    tokens: [{ label: options.name, keyType: before }],
    agent: { options: slowly },
  })
  const load = loadOn(site)
  await load.more(BETWEEN)
  const from = site.agent.lines.length
  const fingerprint = await site.renew(site.token, after)
  await site.agent.waitForLine((line) => line.includes('"msg":"token provisioned"'), { from })
  await recycle(site)
  await load.settlesOn(fingerprint, { count: BETWEEN })
  await untilStatus(site, ({ state }) => expect(state).toBe("serving"))
  await recycle(site)
  await load.more(3 * BETWEEN)
  await expectUnharmed(load, options.name)
}

const APACHE: readonly (readonly [OpensslBinding, KeyType, KeyType])[] = [
  // A key of another kind is refused by the module, one of the same kind gives a wrong signature.
  ...(LONG ? [["engine", "RSA-2048", "P-256"] as const] : []),
  ["engine", "P-256", "P-256"],
  ["provider", "P-256", "P-256"],
]
test.each(APACHE)(
  "Apache's, through the %s, from %s to %s",
  async (binding, ...keyTypes) => {
    const name = `newborn-${binding}-${keyTypes[0]}`
    const directives = ["MaxConnectionsPerChild 20"]
    const options = { name, binding, directives, service: "httpd", target: "Snippet" } as const
    await renewUnderLoad(options, keyTypes)
  },
  90_000,
)

test("nginx's", async () => {
  await renewUnderLoad(
    { name: "newborn-nginx", service: "nginx", target: "Conf" },
    ["P-256", "P-256"],
    async ({ server }) => {
      expect(server).toBeInstanceOf(NginxServer)
      if (server instanceof NginxServer) await server.recycleWorker()
    },
  )
}, 180_000)
