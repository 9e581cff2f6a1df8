/** The look for the relay to KMS: in a /proc made by hand, and at a process that runs. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { checkVsockProxy } from "../../parent/enclave-host/vsock-proxy.js"

const HOST = "kms.eu-west-1.amazonaws.com"
let dir: string
let procDir: string
let allowlistFile: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "vsock-proxy-"))
  procDir = join(dir, "proc")
  await mkdir(join(procDir, "self"), { recursive: true })
  allowlistFile = await allowlist("vsock-proxy.yaml", HOST)
})
afterEach(() => rm(dir, { recursive: true }))

async function allowlist(name: string, address: string): Promise<string> {
  const file = join(dir, name)
  await writeFile(file, `allowlist:\n- {address: ${address}, port: 443}\n`)
  return file
}

async function runs(pid: number, ...command: string[]): Promise<void> {
  await mkdir(join(procDir, String(pid)))
  await writeFile(join(procDir, String(pid), "cmdline"), `${command.join("\0")}\0`)
}

const check = (port = 8000) => checkVsockProxy({ port, remoteHost: HOST, procDir, allowlistFile })

describe("vsock-proxy", () => {
  it.each([
    ["as its unit starts it", ["/usr/bin/vsock-proxy", "8000", HOST, "443"]],
    ["with options", ["vsock-proxy", "-4", "-w", "20", "8000", HOST, "443"]],
    ["with long options", ["vsock-proxy", "--num_workers=8", "8000", HOST, "443"]],
    ["as a script", ["/usr/bin/node", "/opt/vsock-proxy.js", "8000", HOST, "443"]],
  ])("runs %s", async (_name, command) => {
    await runs(4, "/usr/sbin/httpd", "-DFOREGROUND")
    await runs(9, ...command)
    expect(await check()).toEqual({ state: "running", pid: 9 })
  })

  it.each([
    ["none at all", []],
    ["one at another port", ["vsock-proxy", "8001", HOST, "443"]],
    ["another program that speaks of it", ["grep", "-r", "x", "vsock-proxy", "8000", HOST, "443"]],
    ["one that only says its version", ["vsock-proxy", "--version"]],
  ])("does not run where there is %s", async (_name, command) => {
    if (command.length > 0) await runs(9, ...command)
    expect(await check()).toMatchObject({
      state: "not-running",
      reason: "no vsock-proxy runs at port 8000",
      advice: expect.stringContaining("systemctl enable --now nitro-enclaves-vsock-proxy"),
    })
  })

  it("may relay to another region", async () => {
    await runs(9, "vsock-proxy", "8000", "kms.us-east-1.amazonaws.com", "443")
    expect(await check()).toMatchObject({
      state: "other-remote",
      reason: expect.stringContaining("kms.us-east-1.amazonaws.com:443"),
    })
  })

  it("may not be allowed, by the file of its own", async () => {
    const other = await allowlist("other.yaml", "kms.us-east-1.amazonaws.com")
    await runs(9, "vsock-proxy", "--config", other, "8000", HOST, "443")
    expect(await check()).toMatchObject({
      state: "not-allowed",
      reason: `${other} does not allow ${HOST}:443`,
    })
  })

  it.each([
    ["is missing", async () => rm(allowlistFile)],
    ["is no allowlist", async () => writeFile(allowlistFile, "[")],
  ])("is not allowed where the file %s", async (_name, prepare) => {
    await prepare()
    await runs(9, "vsock-proxy", "8000", HOST, "443")
    expect((await check()).state).toBe("not-allowed")
  })

  it("is not known of where processes cannot be seen", async () => {
    await rm(procDir, { recursive: true })
    expect(await check()).toMatchObject({
      state: "unknown",
      reason: expect.stringMatching(/ENOENT/),
    })
  })

  it("is found among the processes that run", async () => {
    const command = join(dir, "vsock-proxy")
    await writeFile(command, "#!/bin/sh\necho up\nread line\n")
    await chmod(command, 0o755)
    const child: ChildProcess = spawn(command, ["61234", HOST, "443"], {
      stdio: ["pipe", "pipe", "inherit"],
    })
    try {
      if (child.stdout) await once(child.stdout, "data")
      const found = await checkVsockProxy({ port: 61_234, remoteHost: HOST, allowlistFile })
      expect(found).toEqual({ state: "running", pid: child.pid })
    } finally {
      child.stdin?.end()
      await once(child, "close")
    }
  })
})
