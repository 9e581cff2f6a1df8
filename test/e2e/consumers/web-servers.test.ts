/** TLS servers other than Apache: verified handshakes, and reloads that lose none of them. */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { execa } from "execa"
import { afterAll, beforeAll, expect } from "vitest"
import { uriPem } from "../../../parent/target/uri-pem.js"
import { CHECKOUT } from "../../../sim/testbed/checkout.js"
import { freePort } from "../../../sim/testbed/free-port.js"
import { handshake, Load } from "../../../sim/testbed/handshake.js"
import { Nginx, type NginxOptions } from "../../../sim/testbed/nginx.js"
import { startServer } from "../../../sim/testbed/server-process.js"
import { type HostedToken, TokenHost } from "../../../sim/testbed/token-host.js"
import { Trial } from "./table.js"

const LONG = process.env.TLSKEEP_LONG === "1"
const RELOADS = LONG ? 25 : 5
const CLIENTS = 4
const PER_RELOAD = LONG ? 100 : 30
const PROTOCOLS = ["TLSv1.2", "TLSv1.3"] as const

let host: TokenHost
beforeAll(async () => {
  host = await TokenHost.up()
}, 90_000)
afterAll(() => host?.down(), 60_000)

const trial = new Trial("web-servers.test.ts")

/** Handshakes by both protocols. */
async function serves(port: number): Promise<void> {
  for (const protocol of PROTOCOLS) {
    for (let count = 0; count < 5; count++) {
      expect(await handshake({ port, protocol, ca: host.testbed.authority.rootPem })).toBe(protocol)
    }
  }
}

/** A file that stands for the private key, in the form that pkcs11-provider reads. */
async function uriFile(token: HostedToken): Promise<string> {
  const file = join(host.dir, `${token.label}-uri.pem`)
  await writeFile(file, uriPem(token.keyUriWithPin))
  return file
}

/** Has something done to a server again and again, under load, and counts what that costs. */
async function losesNoHandshake(port: number, times: number, disturb: () => Promise<unknown>) {
  const load = new Load(() => handshake({ port, ca: host.testbed.authority.rootPem }))
  load.start(CLIENTS)
  for (let time = 0; time < times; time++) {
    await load.more(PER_RELOAD)
    await disturb()
  }
  await load.more(PER_RELOAD)
  await load.stop()
  expect(load.failures).toEqual([])
}

type Variant = Pick<NginxOptions, "certificateKey" | "main" | "env">

/** nginx with each kind of key serves, and loses no handshake while it is reloaded. */
async function nginxServes(name: string, variant: (token: HostedToken) => Promise<Variant>) {
  for (const token of host.tokens) {
    const port = await freePort()
    const dir = join(host.dir, `nginx-${name}-${token.label}`)
    const { certificateFile } = token
    const nginx = await Nginx.start({ dir, port, certificateFile, ...(await variant(token)) })
    try {
      await serves(port)
      await losesNoHandshake(port, RELOADS, () => nginx.reload())
    } finally {
      await nginx.stop()
    }
  }
}

trial.test(
  "nginx-engine",
  "serves; reloads under load lose no handshake",
  () =>
    nginxServes("engine", async ({ keyUriWithPin }) => ({
      certificateKey: `engine:pkcs11:${keyUriWithPin}`,
      // What nginx does not do by itself: it uses the engine without having initialised it.
      main: ["ssl_engine pkcs11;"],
      env: await host.opensslEnv("engine"),
    })),
  LONG ? 300_000 : 90_000,
)

trial.test(
  "nginx-engine",
  "handshakes wait while the enclave is replaced, and none fails",
  async () => {
    const { certificateFile, keyUriWithPin } = host.token("P-256")
    const port = await freePort()
    const nginx = await Nginx.start({
      dir: join(host.dir, "nginx-replaced"),
      ...{ port, certificateFile, certificateKey: `engine:pkcs11:${keyUriWithPin}` },
      main: ["ssl_engine pkcs11;"],
      env: await host.opensslEnv("engine"),
    })
    try {
      await losesNoHandshake(port, 1, () => host.replaceEnclave())
    } finally {
      await nginx.stop()
    }
  },
  60_000,
)

trial.test(
  "nginx-provider",
  "serves; reloads under load lose no handshake",
  () =>
    nginxServes("provider", async (token) => ({
      certificateKey: await uriFile(token),
      env: await host.opensslEnv("provider"),
    })),
  LONG ? 300_000 : 90_000,
)

trial.test("haproxy-engine", "its build has no engines", async () => {
  const { stdout } = await execa("/usr/sbin/haproxy", ["-vv"])
  expect(stdout).toContain(" -ENGINE ")
})

trial.test(
  "haproxy-provider",
  "serves; reloads under load lose no handshake",
  async () => {
    for (const token of host.tokens) {
      const port = await freePort()
      const [conf, pem] = ["cfg", "pem"].map((ending) =>
        join(host.dir, `haproxy-${token.label}.${ending}`),
      ) as [string, string]
      const key = await readFile(await uriFile(token), "utf8")
      await writeFile(pem, key + (await readFile(token.certificateFile, "utf8")))
      await writeFile(conf, haproxyConf({ port, pem, socket: `${conf}.sock` }))
      const server = await startServer({
        name: "haproxy",
        command: "/usr/sbin/haproxy",
        args: ["-W", "-db", "-f", conf],
        env: await host.opensslEnv("provider"),
        logFile: join(host.dir, "log", "haproxy.log"),
        port,
      })
      try {
        await serves(port)
        await losesNoHandshake(port, RELOADS, async () => {
          const from = server.lines.length
          process.kill(server.pid, "SIGUSR2")
          await server.waitForLine((line) => /Former worker .* exited/.test(line), { from })
        })
      } finally {
        await server.stop()
      }
    }
  },
  LONG ? 300_000 : 90_000,
)

/** Workers take the listening socket over from those that they replace, by the stats socket. */
function haproxyConf({ port, pem, socket }: Record<"port" | "pem" | "socket", string | number>) {
  return [
    "global",
    "  user www-data",
    "  group www-data",
    `  stats socket ${socket} level admin expose-fd listeners`,
    "defaults",
    "  mode http",
    "  timeout client 10s",
    "frontend page",
    `  bind 127.0.0.1:${port} ssl crt ${pem}`,
    "  http-request return status 200",
    "",
  ].join("\n")
}

trial.test(
  "stunnel-engine",
  "serves",
  async () => {
    for (const token of host.tokens) {
      const port = await freePort()
      const conf = join(host.dir, `stunnel-${token.label}.conf`)
      const lines = [
        "foreground = yes",
        "pid =",
        "engine = pkcs11",
        `engineCtrl = MODULE_PATH:${CHECKOUT.module}`,
        "[echo]",
        `accept = 127.0.0.1:${port}`,
        "exec = /bin/echo",
        "execArgs = echo served",
        "engineId = pkcs11",
        `cert = ${token.certificateFile}`,
        `key = ${token.keyUriWithPin}`,
        "",
      ]
      await writeFile(conf, lines.join("\n"))
      const server = await startServer({
        name: "stunnel",
        command: "/usr/bin/stunnel4",
        args: [conf],
        env: host.env,
        logFile: join(host.dir, "log", "stunnel.log"),
        port,
      })
      await serves(port).finally(() => server.stop())
    }
  },
  60_000,
)

trial.finish()
