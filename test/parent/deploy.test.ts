/** What is deployed beside the program, judged by systemd itself: the agent's unit and its directory. */
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { execa } from "execa"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"

vi.setConfig({ testTimeout: 60_000 })

const DEPLOY = fileURLToPath(new URL("../../deploy", import.meta.url))
let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "deploy-"))
})
afterEach(() => rm(dir, { recursive: true }))

/** The unit, with a program in it that there is on this machine. */
async function unit(): Promise<string> {
  const text = await readFile(join(DEPLOY, "systemd/tlskeep.service"), "utf8")
  const path = join(dir, "tlskeep.service")
  await writeFile(
    path,
    text.replace("ExecStart=/usr/bin/tlskeep ", `ExecStart=${process.execPath} `),
  )
  return path
}

/** Each setting's values in order. */
async function settings(): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>()
  for (const line of (await readFile(await unit(), "utf8")).split("\n")) {
    const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? []
    if (name !== undefined && value !== undefined) {
      found.set(name, [...(found.get(name) ?? []), value])
    }
  }
  return found
}

describe("the agent's unit", () => {
  it("is understood by systemd, without a complaint", async () => {
    const { exitCode, stdout, stderr } = await execa(
      "systemd-analyze",
      ["verify", "--man=no", await unit()],
      { reject: false },
    )
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: "", stderr: "" })
  })

  it("is exposed no more than 4.0 of 10, by systemd's count", async () => {
    const { exitCode, stdout } = await execa(
      "systemd-analyze",
      ["security", "--offline=true", "--threshold=40", await unit()],
      { reject: false },
    )
    expect(stdout).toMatch(/Overall exposure level for tlskeep\.service: \d/)
    expect(exitCode, stdout.split("\n").at(-1)).toBe(0)
  })

  it("takes no other unit down with it, and is taken down by none", async () => {
    const unitSettings = await settings()
    const binding = ["Requires", "Requisite", "BindsTo", "PartOf", "Conflicts", "Before", "Upholds"]
    expect(binding.filter((name) => unitSettings.has(name))).toEqual([])
    const named = [...unitSettings.values()].flat().join(" ")
    expect(named).not.toMatch(/httpd|apache|nginx|haproxy/)
  })

  it("leaves enclave and run directory in place when the agent ends", async () => {
    expect(Object.fromEntries(await settings())).toMatchObject({
      KillMode: ["process"],
      OOMPolicy: ["continue"],
      RuntimeDirectory: ["tlskeep"],
      RuntimeDirectoryMode: ["0755"],
      RuntimeDirectoryPreserve: ["yes"],
      Restart: ["always"],
    })
  })

  it("hears the agent alone", async () => {
    expect(Object.fromEntries(await settings())).toMatchObject({
      Type: ["notify"],
      NotifyAccess: ["main"],
      WatchdogSec: ["2min"],
    })
  })
})

describe("the run directory", () => {
  it("is made at boot, for everyone to traverse", async () => {
    await execa("systemd-tmpfiles", [
      ...["--create", `--root=${dir}`, join(DEPLOY, "tmpfiles/tlskeep.conf")],
    ])
    expect((await stat(join(dir, "run/tlskeep"))).mode & 0o777).toBe(0o755)
  })
})
