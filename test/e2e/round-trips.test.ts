/**
 * A TLS handshake costs one round trip between Apache and the enclave, through the engine and through the
 * provider: counted by a relay on the socket between them.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { CountingRelay } from "../../bench/measure/counting-relay.js"
import { parseAddress } from "../../shared/address.js"
import { Apache } from "../../sim/testbed/apache.js"
import { freePort } from "../../sim/testbed/free-port.js"
import { handshake } from "../../sim/testbed/handshake.js"
import { ENGINE_PATH, PROVIDER_PATH } from "../../sim/testbed/openssl-conf.js"
import { TokenHost } from "../../sim/testbed/token-host.js"

const LIBRARIES = { engine: ENGINE_PATH, provider: PROVIDER_PATH }
/** Connection, login and listing of Apache's only worker are done then. */
const WARM_UP = 3
const HANDSHAKES = 25

let host: TokenHost
beforeAll(async () => {
  host = await TokenHost.up()
}, 120_000)
afterAll(() => host?.down(), 60_000)

describe.each(["engine", "provider"] as const)("through the %s", (binding) => {
  describe.skipIf(!existsSync(LIBRARIES[binding]))("which is installed", () => {
    describe.each(["RSA-2048", "P-256"] as const)("%s", (keyType) => {
      let relay: CountingRelay
      let apache: Apache
      beforeAll(async () => {
        const address = parseAddress(readFileSync(host.testbed.endpointFile, "utf8").trim())
        if (address.kind !== "unix") throw new Error("the simulator's endpoints are sockets")
        const dir = join(host.dir, `round-trips-${binding}-${keyType}`)
        relay = await CountingRelay.start(`${dir}.sock`, address.path)
        apache = await Apache.prepare({
          ...{ dir, port: await freePort(), binding, snippet: host.token(keyType).snippet },
          endpointFile: host.testbed.endpointFile,
          directives: [
            "StartServers 1",
            "ServerLimit 1",
            "ThreadsPerChild 8",
            "MaxRequestWorkers 8",
          ],
          env: { TLSKEEP_ENDPOINT: `unix:${relay.path}` },
        })
        await apache.start()
      }, 60_000)
      afterAll(async () => {
        await apache?.stop()
        await relay?.stop()
      })

      const shake = async (protocol: "TLSv1.2" | "TLSv1.3", count: number) => {
        const ca = host.testbed.authority.rootPem
        for (let i = 0; i < count; i++) await handshake({ port: apache.port, ca, protocol })
      }

      test.each(["TLSv1.2", "TLSv1.3"] as const)(
        `${HANDSHAKES} handshakes of %s`,
        async (protocol) => {
          await shake(protocol, WARM_UP)
          const before = relay.roundTrips
          await shake(protocol, HANDSHAKES)
          expect(relay.roundTrips - before).toBe(HANDSHAKES)
        },
      )
    })
  })
})
