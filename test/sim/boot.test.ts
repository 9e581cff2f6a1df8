/** The boot parameters of a simulated enclave, and its heartbeat. */
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import {
  BOOT_VARIABLE,
  enclaveListenPath,
  parentPath,
  readSimBoot,
  sendBootHeartbeat,
} from "../../sim/boot.js"
import { listenAtSocket } from "../../sim/lifecycle.js"
import { listenForHeartbeat } from "../../sim/nitro/heartbeat.js"

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "boot-"))
})
afterEach(() => rmSync(dir, { recursive: true }))

const BOOT = {
  cid: 16,
  moduleId: "i-0123456789abcdef0-enc0123456789abcdef",
  pcrs: { "0": "aa".repeat(48) },
  vsockDir: "/v",
  nitroPkiDir: "/p",
  caFile: "/c",
  debug: false,
  heartbeat: "/h",
}

function read(boot: object) {
  return readSimBoot({ [BOOT_VARIABLE]: JSON.stringify(boot) })
}

describe("readSimBoot", () => {
  it("reads what the VMM writes, and says where to listen and to connect", () => {
    expect(read(BOOT)).toEqual(BOOT)
    expect(enclaveListenPath(read(BOOT), 9999)).toBe("/v/16_9999.sock")
    const recorded = read({ ...BOOT, listenSuffix: ".inner" })
    expect(enclaveListenPath(recorded, 9999)).toBe("/v/16_9999.sock.inner")
    expect(parentPath(recorded, 8000)).toBe("/v/3_8000.sock")
  })

  it.each([
    ["no variable", undefined],
    ["no JSON", "{"],
    ["a CID of the host's", JSON.stringify({ ...BOOT, cid: 3 })],
    ["a short PCR", JSON.stringify({ ...BOOT, pcrs: { "0": "aa" } })],
    ["an unknown field", JSON.stringify({ ...BOOT, nsm: "other" })],
  ])("refuses %s", (_name, text) => {
    const env = text === undefined ? {} : { [BOOT_VARIABLE]: text }
    expect(() => readSimBoot(env)).toThrow(expect.objectContaining({ code: "bad-boot-parameters" }))
  })
})

describe("the heartbeat", () => {
  it("is sent and answered", async () => {
    const heartbeat = join(dir, "h.sock")
    const listener = await listenForHeartbeat(heartbeat)
    await Promise.all([sendBootHeartbeat({ heartbeat }), listener.beaten])
    listener.close()
  })

  it("fails without a VMM, and against one that answers something else or nothing", async () => {
    const heartbeat = join(dir, "h.sock")
    const failure = { code: "heartbeat-failed" }
    await expect(sendBootHeartbeat({ heartbeat })).rejects.toMatchObject(failure)
    for (const answer of [Buffer.from([0xb6]), Buffer.alloc(0)]) {
      const server = createServer((socket) => socket.end(answer))
      await listenAtSocket(server, heartbeat)
      await expect(sendBootHeartbeat({ heartbeat })).rejects.toMatchObject(failure)
      server.close()
    }
  })

  it("cannot be listened for where a socket's path would be too long", async () => {
    await expect(listenForHeartbeat(join(dir, "x".repeat(100)))).rejects.toThrow(/shorter/)
  })
})
