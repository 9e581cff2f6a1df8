/** The testbed's web servers, by the commands that the agent is given: they start, reload, and can fail. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { execa } from "execa"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { Apache } from "../../sim/testbed/apache.js"
import { freePort } from "../../sim/testbed/free-port.js"
import { NginxServer } from "../../sim/testbed/nginx-server.js"
import { presented } from "../../sim/testbed/presented.js"
import {
  fingerprintOf,
  WebAuthority,
  type WebCertificate,
} from "../../sim/testbed/web-certificates.js"
import type { Service, TargetKind, WebServer } from "../../sim/testbed/web-server.js"

const NAMES = ["one.test", "two.test"]

let dir: string
let server: WebServer | undefined
let placeholder: WebCertificate
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "tlskeep-servers-"))
  placeholder = await (await WebAuthority.create()).issue("P-256")
})
afterEach(async () => {
  await server?.stop()
  await rm(dir, { recursive: true })
})

async function filesOf(web: WebCertificate, name: string) {
  const [certificateFile, keyFile] = [join(dir, `${name}.pem`), join(dir, `${name}-key.pem`)]
  await writeFile(certificateFile, web.certificate)
  await writeFile(keyFile, web.privateKey)
  return { certificateFile, keyFile }
}

async function prepare(service: Service, target: TargetKind): Promise<WebServer> {
  const common = {
    ...{ dir: join(dir, service), port: await freePort(), binding: "engine" as const },
    hosts: NAMES.map((serverName) => ({
      serverName,
      target,
      path: join(dir, `${serverName}.conf`),
    })),
    placeholder: await filesOf(placeholder, "placeholder"),
    // No token is asked for here.
    endpointFile: join(dir, "endpoint"),
  }
  return service === "httpd" ? Apache.prepare(common) : NginxServer.prepare(common)
}

async function run([command = "", ...args]: readonly string[]): Promise<number | undefined> {
  return (await execa(command, args, { reject: false, stdio: "ignore" })).exitCode
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20))
}

describe.each([
  ["httpd", "Snippet"],
  ["httpd", "Conf"],
  ["nginx", "Conf"],
] as const)("%s, %s", (service, target) => {
  test("serves the placeholder; a reload starts it, and then reads what has changed", async () => {
    const running = await prepare(service, target)
    server = running
    expect(await running.pid()).toBeUndefined()
    expect(await run(running.commands.test)).toBe(0)
    expect(await run(running.commands.reload)).toBe(0)
    await running.listening()
    for (const name of NAMES) {
      expect(await presented(running.port, name)).toBe(fingerprintOf(placeholder))
    }
    const pid = await running.pid()
    expect(await running.generations()).toBe(1)
    expect((await running.pids()).length).toBeGreaterThan(1)

    const renewed = await (await WebAuthority.create()).issue("RSA-2048")
    await filesOf(renewed, "placeholder")
    expect(await run(running.commands.reload)).toBe(0)
    await until(async () => (await running.generations()) === 2)
    await until(async () => (await presented(running.port, "one.test")) === fingerprintOf(renewed))
    expect(await running.pid()).toBe(pid)
  }, 30_000)

  test("its configuration can be broken and mended while it runs", async () => {
    const running = await prepare(service, target)
    server = running
    await running.start()
    await running.breakConfiguration()
    expect(await run(running.commands.test)).not.toBe(0)
    expect(await presented(running.port, "two.test")).toBe(fingerprintOf(placeholder))
    await running.mendConfiguration()
    expect(await run(running.commands.test)).toBe(0)
    const pid = await running.pid()
    await running.stop()
    expect(pid).toBeGreaterThan(0)
    expect(await running.pid()).toBeUndefined()
  }, 30_000)
})
