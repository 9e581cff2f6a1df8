/**
 * Apache under every MPM is restarted gracefully under load and loses no handshake; and finds the
 * token through p11-kit's proxy.
 */
import { readFileSync, realpathSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect } from "vitest"
import { Apache, type Mpm } from "../../../sim/testbed/apache.js"
import { CHECKOUT } from "../../../sim/testbed/checkout.js"
import { freePort } from "../../../sim/testbed/free-port.js"
import { handshake, Load } from "../../../sim/testbed/handshake.js"
import type { OpensslBinding } from "../../../sim/testbed/openssl-conf.js"
import { type HostedToken, TokenHost } from "../../../sim/testbed/token-host.js"
import { Trial } from "./table.js"

const LONG = process.env.TLSKEEP_LONG === "1"
const RESTARTS = LONG ? 25 : 5
const CLIENTS = 4
const PER_RESTART = LONG ? 100 : 30
const P11_KIT_PROXY = "/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so"

let host: TokenHost
beforeAll(async () => {
  host = await TokenHost.up()
}, 90_000)
afterAll(() => host?.down(), 60_000)

const trial = new Trial("apache.test.ts")

interface Setup {
  token: HostedToken
  binding: OpensslBinding
  mpm: Mpm
  modulePath?: string
  unprivileged?: boolean
  env?: Record<string, string>
}

async function prepare(setup: Setup): Promise<{ apache: Apache; port: number }> {
  const { token, ...options } = setup
  const port = await freePort()
  const apache = await Apache.prepare({
    dir: join(host.dir, `httpd-${port}`),
    port,
    snippet: token.snippet,
    endpointFile: host.testbed.endpointFile,
    ...options,
  })
  return { apache, port }
}

/** Times that Apache said it goes on after a start or a graceful restart. */
async function generations(apache: Apache): Promise<number> {
  return (await apache.errors()).split("resuming normal operations").length - 1
}

async function restartUnderLoad(setup: Setup): Promise<void> {
  const { apache, port } = await prepare(setup)
  await apache.start()
  try {
    const pid = await apache.pid()
    const maps = readFileSync(`/proc/${pid}/maps`, "utf8")
    expect(maps).toContain(CHECKOUT.module)
    expect(maps.includes(realpathSync(P11_KIT_PROXY))).toBe(setup.modulePath === P11_KIT_PROXY)
    const load = new Load(() => handshake({ port, ca: host.testbed.authority.rootPem }))
    load.start(CLIENTS)
    for (let restart = 0; restart < RESTARTS; restart++) {
      await load.more(PER_RESTART)
      const before = await generations(apache)
      await apache.graceful()
      while ((await generations(apache)) === before) {
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    await load.more(PER_RESTART)
    await load.stop()
    expect(load.failures).toEqual([])
    expect(await apache.pid()).toBe(pid)
    expect(await apache.errors()).not.toMatch(/segfault|Segmentation|exit signal/)
  } finally {
    await apache.stop()
  }
}

for (const mpm of ["prefork", "worker", "event"] as const) {
  for (const binding of ["engine", "provider"] as const) {
    trial.test(
      `apache-${binding}`,
      `graceful restarts of the ${mpm} MPM under load lose no handshake`,
      async () => {
        const token = host.token(mpm === "worker" ? "RSA-2048" : "P-256")
        await restartUnderLoad({ token, binding, mpm })
      },
      LONG ? 300_000 : 60_000,
    )
  }
}

trial.test(
  "apache-p11-kit",
  "serves; graceful restarts lose no handshake",
  async () => {
    const { HOME = "", XDG_CONFIG_HOME = "" } = await host.p11KitEnv()
    await restartUnderLoad({
      ...{ binding: "engine", modulePath: P11_KIT_PROXY, mpm: "event" },
      token: host.token("RSA-2048"),
      // p11-kit reads no user's configuration where root starts it.
      unprivileged: true,
      env: { HOME, XDG_CONFIG_HOME },
    })
  },
  LONG ? 300_000 : 60_000,
)

trial.finish()
