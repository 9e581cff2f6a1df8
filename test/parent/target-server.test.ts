/** How the web server is tested, reloaded and started, with systemd and without; and looked at. */
import { X509Certificate } from "node:crypto"
import { once } from "node:events"
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises"
import type { AddressInfo } from "node:net"
import { createServer as createTcpServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createServer } from "node:tls"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { CommandRunner } from "../../parent/target/command.js"
import { firstDnsName, presents, seePresented } from "../../parent/target/presented.js"
import { ServerControl, type ServerOptions } from "../../parent/target/server-control.js"
import { makeKey } from "./key-objects.js"
import { refusalOf } from "./refusal.js"

let proc: string
beforeEach(async () => {
  proc = await mkdtemp(join(tmpdir(), "proc-"))
})
afterEach(() => rm(proc, { recursive: true }))

/** A machine whose systemd has these units, in these states. */
function machine(units: Record<string, string> = {}) {
  const given: string[] = []
  const run: CommandRunner = async (command) => {
    const [program, verb, ...rest] = command
    given.push(command.join(" "))
    const unit = rest.at(-1) ?? ""
    if (program !== "systemctl") return { failure: undefined, output: "" }
    if (verb === "show") {
      return { failure: undefined, output: `LoadState=${unit in units ? "loaded" : "not-found"}\n` }
    }
    const output = verb === "is-active" ? `${units[unit]}\n` : ""
    return { failure: units[unit] === "inactive" ? "systemctl ended with 3" : undefined, output }
  }
  return { run, given }
}

function control(options: Partial<ServerOptions>, run: CommandRunner, systemd = true) {
  return new ServerControl({ options: { service: "httpd", ...options }, run, systemd, proc })
}

async function isRunning(program: string): Promise<void> {
  await mkdir(join(proc, "4711"))
  await symlink(program, join(proc, "4711", "exe"))
  await mkdir(join(proc, "self"))
}

describe("a server that systemd manages", () => {
  it.each([
    ["httpd", "apache2.service"],
    ["httpd", "httpd.service"],
    ["nginx", "nginx.service"],
  ] as const)("%s is found as %s, once", async (service, unit) => {
    const { run, given } = machine({ [unit]: "active" })
    const server = control({ service }, run)
    expect(await server.state()).toBe("running")
    await server.reload([])
    await server.start([])
    expect(given.filter((command) => !command.startsWith("systemctl show"))).toEqual([
      `systemctl is-active ${unit}`,
      `systemctl reload ${unit}`,
      `systemctl start ${unit}`,
    ])
    expect(given.filter((command) => command.endsWith(unit))).toHaveLength(4)
  })

  it.each([
    ["active", "running"],
    ["reloading", "running"],
    ["inactive", "stopped"],
    ["failed", "stopped"],
    ["activating", "stopped"],
  ])("and is %s is %s", async (active, state) => {
    const { run } = machine({ "my.service": active })
    expect(await control({ unit: "my.service" }, run).state()).toBe(state)
  })

  it("is asked of by its unit even where it is reloaded by a command", async () => {
    const { run, given } = machine({ "my.service": "active" })
    const server = control({ unit: "my.service", reload_command: ["my", "reload"] }, run)
    expect(await server.state()).toBe("running")
    await server.reload([])
    expect(given).toEqual(["systemctl is-active my.service", "my reload"])
  })

  it("is none of systemd's where commands are configured and no unit is", async () => {
    const { run, given } = machine({ "httpd.service": "inactive" })
    const server = control({ reload_command: ["my", "reload"] }, run)
    expect(await server.state()).toBe("unknown")
    expect(given).toEqual([])
  })
})

describe("a server that systemd does not manage", () => {
  it.each([
    ["httpd", ["apachectl configtest", "apachectl -k graceful", "apachectl -k start"]],
    ["nginx", ["nginx -t", "nginx -s reload", "nginx"]],
  ] as const)("is handled by the commands of %s", async (service, commands) => {
    for (const systemd of [true, false]) {
      const { run, given } = machine()
      const server = control({ service }, run, systemd)
      await server.test([])
      await server.reload([])
      await server.start([])
      expect(given.filter((command) => !command.startsWith("systemctl"))).toEqual(commands)
    }
  })

  it.each([
    ["httpd", "/usr/sbin/apache2", "running"],
    ["httpd", "/usr/sbin/httpd (deleted)", "running"],
    ["httpd", "/usr/sbin/nginx", "stopped"],
    ["httpd", "/usr/bin/htpasswd", "stopped"],
    ["nginx", "/opt/nginx/sbin/nginx", "running"],
  ] as const)("%s by a process of %s is %s", async (service, program, state) => {
    await isRunning(program)
    expect(await control({ service }, machine().run, false).state()).toBe(state)
  })

  it("is handled by the operator's own commands first", async () => {
    const { run, given } = machine()
    const own = { test_command: ["t", "1"], reload_command: ["r"], start_command: ["s"] }
    const server = control(own, run, false)
    await server.test([])
    await server.reload([])
    await server.start([])
    expect(given).toEqual(["t 1", "r", "s"])
  })
})

describe("a command that fails", () => {
  it.each(["test", "reload", "start"] as const)("to %s quotes its end", async (step) => {
    const run: CommandRunner = async () => ({
      failure: "x ended with exit code 1",
      output: "by 1234\n",
    })
    const { code, message, advice } = await refusalOf(control({}, run, false)[step](["1234"]))
    expect(code).toBe(step === "test" ? "config-test-failed" : `${step}-failed`)
    expect(message).toMatch(/: x ended with exit code 1: by …$/)
    expect(advice).toContain(`options.${step}_command`)
  })
})

describe("a listener", () => {
  it("is seen to present a certificate of its kind of key, self-signed or not", async () => {
    const [ec, rsa] = await Promise.all([makeKey("P-256"), makeKey("RSA-2048")])
    const server = createServer({
      cert: [ec.web.certificate + ec.web.chain, rsa.web.certificate + rsa.web.chain],
      key: [ec.web.privateKey, rsa.web.privateKey],
    }).listen(0, "::1")
    await once(server, "listening")
    const listener = { address: `[::1]:${(server.address() as AddressInfo).port}` }
    try {
      for (const { web } of [ec, rsa]) {
        const certificate = new X509Certificate(web.certificate)
        expect(await presents(listener, certificate)).toBe(true)
        await seePresented({ listener, certificate, timeoutMs: 10_000 })
      }
      const other = await makeKey("P-256")
      const certificate = new X509Certificate(other.web.certificate)
      expect(await presents(listener, certificate)).toBe(false)
      const refusal = await refusalOf(seePresented({ listener, certificate, timeoutMs: 300 }))
      expect(refusal.code).toBe("certificate-not-presented")
      expect(refusal.message).toContain("it presents another certificate")
    } finally {
      server.close()
    }
  })

  it.each([
    ["refuses connections", undefined, /ECONNREFUSED/],
    ["says nothing", () => {}, /no handshake within 300 ms/],
    [
      "closes connections",
      (end: () => void) => end(),
      /ECONNRESET|closes the connection|disconnected/,
    ],
  ] as const)("that %s is described so", async (_name, answer, seen) => {
    const sockets: { destroy(): void }[] = []
    const server = createTcpServer((socket) => {
      sockets.push(socket)
      socket.on("error", () => {})
      answer?.(() => socket.end())
    }).listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
    if (answer === undefined) await new Promise((resolve) => server.close(resolve))
    const { object } = await makeKey()
    const [certificate] = object.certificates
    if (certificate === undefined) throw new Error("no certificate")
    try {
      const refusal = await refusalOf(
        seePresented({ listener: { address }, certificate, timeoutMs: 300 }),
      )
      expect(refusal.code).toBe("certificate-not-presented")
      expect(refusal.message).toMatch(seen)
    } finally {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  })
})

describe("the name that a listener is asked for", () => {
  it.each([
    ["DNS:a.example, DNS:b.example", "a.example"],
    ["IP Address:127.0.0.1, DNS:a.example", "a.example"],
    ["DNS:*.a.example, DNS:a.example", "www.a.example"],
    ["IP Address:127.0.0.1", undefined],
    [undefined, undefined],
  ])("of %s is %s", (subjectAltName, name) => {
    expect(firstDnsName({ subjectAltName })).toBe(name)
  })
})
