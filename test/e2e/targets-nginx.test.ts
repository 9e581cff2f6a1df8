/** Debian's nginx takes its certificates from the publisher, through the engine and the provider. */
import { existsSync } from "node:fs"
import { mkdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { AgentError } from "../../parent/errors.js"
import type { Publisher } from "../../parent/target/publisher.js"
import { childPids } from "../../sim/testbed/child-pids.js"
import { freePort } from "../../sim/testbed/free-port.js"
import { handshake, Load } from "../../sim/testbed/handshake.js"
import { opensslConf } from "../../sim/testbed/openssl-conf.js"
import { accepts } from "../../sim/testbed/server-process.js"
import { describeBindings, PublishedToken } from "./published-token.js"

let token: PublishedToken
beforeAll(async () => {
  token = await PublishedToken.up()
}, 90_000)
afterAll(() => token?.down(), 60_000)

describeBindings("nginx", (binding) => {
  let dir: string
  let port: number
  let stanza: string
  let command: string[]
  let publisher: Publisher
  let lines: string[]

  beforeAll(async () => {
    dir = join(token.testbed.dir, `targets-nginx-${binding}`)
    port = await freePort()
    // In a directory that is not there yet.
    stanza = join(dir, "stanzas", "published.conf")
    const env = {
      PATH: process.env.PATH ?? "",
      OPENSSL_CONF: join(dir, "openssl.cnf"),
      TLSKEEP_ENDPOINT_FILE: token.testbed.endpointFile,
    }
    await mkdir(join(dir, "temporary"), { recursive: true })
    await writeFile(env.OPENSSL_CONF, opensslConf(binding, token.modulePath))
    await writeFile(join(dir, "nginx.conf"), nginxConf())
    command = [
      ...["env", "-i", ...Object.entries(env).map(([name, value]) => `${name}=${value}`)],
      ...["/usr/sbin/nginx", "-c", join(dir, "nginx.conf"), "-p", dir],
      ...["-e", join(dir, "error.log")],
    ]
    ;({ publisher, lines } = await newPublisher())
  })
  afterAll(async () => {
    publisher?.close()
    const pid = await masterPid()
    if (pid !== undefined) process.kill(pid, "SIGQUIT")
    while (pid !== undefined && existsSync(`/proc/${pid}`)) await sleep(50)
  }, 30_000)

  function newPublisher() {
    return token.publisher(dir, {
      service: "nginx",
      test_command: [...command, "-t"],
      reload_command: [...command, "-s", "reload"],
      start_command: command,
      key_syntax: binding,
    })
  }

  function nginxConf(): string {
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    return [
      ...[`pid ${dir}/nginx.pid;`, `error_log ${dir}/error.log notice;`, "user www-data;"],
      ...["worker_processes 2;", "env OPENSSL_CONF;", "env TLSKEEP_ENDPOINT_FILE;"],
      // nginx uses an engine without having initialised it.
      ...(binding === "engine" ? ["ssl_engine pkcs11;"] : []),
      "events { worker_connections 256; }",
      "http {",
      "  access_log off;",
      ...temporary.map((name) => `  ${name}_temp_path ${dir}/temporary/${name};`),
      "  server {",
      `    listen 127.0.0.1:${port} ssl;`,
      "    server_name localhost;",
      "    ssl_session_cache off;",
      "    ssl_session_tickets off;",
      `    include "${stanza}";`,
      '    return 200 "served by nginx\\n";',
      "  }",
      "}",
      "",
    ].join("\n")
  }

  async function masterPid(): Promise<number | undefined> {
    const pid = Number(await readFile(join(dir, "nginx.pid"), "utf8").catch(() => ""))
    return pid > 0 && existsSync(`/proc/${pid}`) ? pid : undefined
  }

  const workers = async () => childPids((await masterPid()) ?? 0)
  const target = () =>
    ({ kind: "Conf", path: stanza, listener: { address: `127.0.0.1:${port}` } }) as const
  const shake = () => handshake({ port, ca: token.testbed.authority.rootPem })

  test("is not started unless it is to be", async () => {
    const { publisher: idle } = await token.publisher(join(dir, "idle"), {
      service: "nginx",
      test_command: [...command, "-t"],
      reload_command: [...command, "-s", "reload"],
      start_command: command,
      key_syntax: binding,
      force_start: false,
    })
    await idle.publish(token.publication(target()))
    expect(await accepts(port)).toBe(false)
    expect(existsSync(stanza)).toBe(true)
  })

  test("is started, by a stanza that names the key in its own way", async () => {
    await publisher.publish(token.publication(target()))
    await shake()
    const text = await readFile(stanza, "utf8")
    const [, key = "", certificate = ""] =
      /^# .*\nssl_certificate_key "(.+)";\nssl_certificate "(.+)";\n$/.exec(text) ?? []
    expect(certificate).toMatch(/\/run\/certificates\/nginx-[0-9a-f]+\.pem$/)
    expect(text).not.toContain(token.pin)
    expect((await stat(stanza)).mode & 0o777).toBe(0o640)
    if (binding === "engine") {
      expect(key).toMatch(
        /^engine:pkcs11:pkcs11:token=published;id=(%[0-9A-F]{2}){32};type=private\?pin-source=file:/,
      )
    } else {
      expect(await readFile(key, "utf8")).toMatch(/^-----BEGIN PKCS#11 PROVIDER URI-----\n/)
      expect((await stat(key)).mode & 0o777).toBe(0o640)
    }
  })

  test("is left alone by an agent that comes again", async () => {
    const before = await workers()
    expect(before.length).toBeGreaterThan(0)
    const again = await newPublisher()
    await again.publisher.publish(token.publication(target()))
    again.publisher.close()
    expect(await workers()).toEqual(before)
  })

  test("takes a new key and certificate without losing a handshake", async () => {
    const before = await workers()
    const load = new Load(shake)
    load.start(4)
    await load.more(20)
    await token.renew()
    const { formerWorkersGone } = await publisher.publish(token.publication(target()))
    await load.more(20)
    await load.stop()
    expect(load.failures).toEqual([])
    expect(await formerWorkersGone).toBe(true)
    expect((await workers()).length).toBeGreaterThan(0)
    const left = async () => (await workers()).filter((pid) => before.includes(pid))
    await expect.poll(left, { timeout: 5_000 }).toEqual([])
  }, 120_000)

  test("serves on by its former files when a certificate has no key in the enclave", async () => {
    const before = await readFile(stanza)
    const pids = await workers()
    const stranger = await token.testbed.issue("P-256")
    const refused = await publisher.publish(token.publication(target(), stranger)).catch((e) => e)
    expect(refused).toBeInstanceOf(AgentError)
    // nginx tries keys when it tests.
    expect(refused.code).toBe("config-test-failed")
    expect(refused.message).toMatch(/the former files are back$/)
    expect(token.isSecretIn(refused.message)).toBe(false)
    expect(await readFile(stanza)).toEqual(before)
    expect(await workers()).toEqual(pids)
    await shake()
  })

  test("has said nothing secret", async () => {
    expect(lines.join("")).toContain("web server reloaded")
    expect(lines.filter((line) => token.isSecretIn(line))).toEqual([])
  })
})
