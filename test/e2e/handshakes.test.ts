/**
 * Apache serves TLS 1.2 and 1.3 with every kind of key, through the pkcs11 engine and through
 * pkcs11-provider: 500 full handshakes each, every one of them signed by the enclave.
 */
import { existsSync, readFileSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Deployment } from "../../sim/testbed/deployment.js"
import { ENGINE_PATH, PROVIDER_PATH } from "../../sim/testbed/openssl-conf.js"
import { Testbed } from "../../sim/testbed/testbed.js"
import { KEY_TYPES } from "../../sim/testbed/web-certificates.js"

const HANDSHAKES = 500
const LIBRARIES = { engine: ENGINE_PATH, provider: PROVIDER_PATH }

let testbed: Testbed
beforeAll(async () => {
  testbed = await Testbed.up()
}, 60_000)
afterAll(() => testbed.down(), 60_000)

describe.each(["engine", "provider"] as const)("through the %s", (binding) => {
  const library = LIBRARIES[binding]
  // pkcs11-provider comes from bookworm-backports, which not every mirror has.
  describe.skipIf(!existsSync(library))(`${library} is installed`, () => {
    describe.each(KEY_TYPES)("%s", (keyType) => {
      const name = `${binding}-${keyType}`
      let deployment: Deployment
      beforeAll(async () => {
        deployment = await Deployment.create(testbed, { name, keyType, binding })
      }, 60_000)
      afterAll(() => deployment?.stop(), 60_000)

      test("the page is served with a certificate that verifies", async () => {
        expect(await deployment.fetch()).toBe(deployment.apache.page.trim())
      })

      test.each(["TLS1.2", "TLS1.3"] as const)(
        "500 full handshakes over %s",
        async (protocol) => {
          const before = await deployment.signatures()
          await deployment.load(HANDSHAKES, protocol)
          const signed = (await deployment.signatures()) - before
          expect(signed).toBeGreaterThanOrEqual(HANDSHAKES)
        },
        60_000,
      )

      test("it is this library that Apache loaded the module through", async () => {
        const [parent] = await deployment.apache.pids()
        const maps = readFileSync(`/proc/${parent}/maps`, "utf8")
        const loaded = Object.values(LIBRARIES).filter((path) => maps.includes(path))
        expect(loaded).toEqual([library])
      })
    })
  })
})
