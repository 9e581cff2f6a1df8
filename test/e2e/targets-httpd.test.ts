/** Debian's Apache takes its certificates from the publisher: in place, renewed under load, rolled back. */
import { appendFile, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { AgentError } from "../../parent/errors.js"
import type { Publisher } from "../../parent/target/publisher.js"
import { Apache } from "../../sim/testbed/apache.js"
import { freePort } from "../../sim/testbed/free-port.js"
import { handshake, Load } from "../../sim/testbed/handshake.js"
import { describeBindings, PublishedToken } from "./published-token.js"

/** A file that Apache's agent of AWS would be given, but for the paths. */
const HOSTS = [
  "# ours; tabs and ends of lines are as they came",
  "\tSSLCertificateFile /etc/pki/tls/certs/localhost.crt\r",
  "  # SSLCertificateKeyFile /etc/pki/tls/private/old.key",
  "  sslcertificatekeyfile   '/etc/pki/tls/private/localhost.key'",
  'Include "INCLUDED"',
  "# the end",
].join("\n")
/** Its directives are not looked at: they belong to nobody here. */
const INCLUDED = "<IfDefine NeverDefined>\nSSLCertificateFile /nobody's\n</IfDefine>\n"

let token: PublishedToken
beforeAll(async () => {
  token = await PublishedToken.up()
}, 90_000)
afterAll(() => token?.down(), 60_000)

describeBindings("Apache", (binding) => {
  let apache: Apache
  let dir: string
  let port: number
  let conf: string
  let publisher: Publisher
  let lines: string[]

  beforeAll(async () => {
    dir = join(token.testbed.dir, `targets-${binding}`)
    conf = join(dir, "hosts.conf")
    port = await freePort()
    const { endpointFile } = token.testbed
    apache = await Apache.prepare({
      dir,
      port,
      binding,
      modulePath: token.modulePath,
      snippet: conf,
      endpointFile,
    })
    await writeFile(join(dir, "included.conf"), INCLUDED)
    await writeFile(conf, HOSTS.replace("INCLUDED", join(dir, "included.conf")))
    ;({ publisher, lines } = await newPublisher())
  })
  afterAll(async () => {
    publisher?.close()
    await apache?.stop()
  }, 30_000)

  function newPublisher() {
    return token.publisher(dir, {
      service: "httpd",
      test_command: apache.commands.test,
      reload_command: apache.reloadCommand,
      start_command: apache.commands.start,
      key_syntax: binding,
    })
  }

  const target = () =>
    ({ kind: "Conf", path: conf, listener: { address: `127.0.0.1:${port}` } }) as const
  const shake = () => handshake({ port, ca: token.testbed.authority.rootPem })

  test("is started, by a file rewritten in place", async () => {
    const { formerWorkersGone } = await publisher.publish(token.publication(target()))
    expect(await formerWorkersGone).toBe(true)
    await shake()
    const written = await readFile(conf, "utf8")
    const ours = /\/run\/certificates\/httpd-[0-9a-f]+\.pem\r$|pkcs11:token=.*\.pin'$/
    const lines = written.split("\n")
    expect(lines.filter((line) => ours.test(line))).toHaveLength(2)
    expect(lines.map((line, index) => (ours.test(line) ? index : line))).toEqual(
      HOSTS.replace("INCLUDED", join(dir, "included.conf"))
        .split("\n")
        .map((line, index) => (index === 1 || index === 3 ? index : line)),
    )
    expect(await readFile(join(dir, "included.conf"), "utf8")).toBe(INCLUDED)
  }, 30_000)

  test("is left alone by an agent that comes again", async () => {
    const before = await apache.pids()
    const again = await newPublisher()
    await again.publisher.publish(token.publication(target()))
    again.publisher.close()
    expect(await apache.pids()).toEqual(before)
    expect(again.lines.join("")).toContain("has the certificate already")
  })

  test("takes a new key and certificate without losing a handshake", async () => {
    const before = (await apache.pids()).slice(1)
    const load = new Load(shake)
    load.start(4)
    await load.more(20)
    await token.renew()
    const { formerWorkersGone } = await publisher.publish(token.publication(target()))
    await load.more(20)
    await load.stop()
    expect(load.failures).toEqual([])
    expect(await formerWorkersGone).toBe(true)
    expect((await apache.pids()).length).toBeGreaterThan(1)
    // Their parent, which stays, takes note of them in its own time.
    const left = async () => (await apache.pids()).filter((pid) => before.includes(pid))
    await expect.poll(left, { timeout: 5_000 }).toEqual([])
  }, 120_000)

  test("serves on by its former files when a certificate has no key in the enclave", async () => {
    const stranger = await token.testbed.issue("P-256")
    const before = await readFile(conf)
    const { publisher: hasty } = await token.publisher(dir, {
      service: "httpd",
      test_command: apache.commands.test,
      reload_command: apache.reloadCommand,
      key_syntax: binding,
      reload_wait_ms: 3_000,
      start_command: apache.commands.start,
      force_start: false,
    })
    const refused = await hasty.publish(token.publication(target(), stranger)).catch((e) => e)
    expect(refused).toBeInstanceOf(AgentError)
    expect(refused.code).toBe("certificate-not-presented")
    expect(refused.message).toMatch(/the former files are back$/)
    expect(await readFile(conf)).toEqual(before)
    await apache.listening()
    await shake()
  }, 120_000)

  test("keeps its files when its configuration fails the test", async () => {
    const before = await readFile(conf)
    const pids = await apache.pids()
    const whole = await readFile(apache.conf)
    await appendFile(apache.conf, "NoSuchDirective on\n")
    await token.renew()
    const refused = await publisher.publish(token.publication(target())).catch((e) => e)
    expect(refused).toBeInstanceOf(AgentError)
    expect(refused.code).toBe("config-test-failed")
    expect(refused.message).toContain("Invalid command 'NoSuchDirective'")
    expect(await readFile(conf)).toEqual(before)
    expect(await apache.pids()).toEqual(pids)
    await writeFile(apache.conf, whole)
    await publisher.publish(token.publication(target()))
    await shake()
  }, 120_000)

  test("has said nothing secret", async () => {
    expect(lines.join("")).toContain("web server reloaded")
    expect(lines.filter((line) => token.isSecretIn(line))).toEqual([])
    // mod_ssl logs whole URIs, which is why the PIN is not in them.
    const errors = await apache.errors()
    expect(errors).toContain("pin-source=file:")
    expect(errors).not.toContain(token.pin)
  })
})
