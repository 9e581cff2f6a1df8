/** AF_VSOCK on the real kernel, as far as it goes without connecting anywhere. */

import { existsSync } from "node:fs"
import { describe, expect, it } from "vitest"
import {
  isAddonError,
  listenVsock,
  localCid,
  VMADDR_PORT_ANY,
  type VsockServer,
} from "../../native/addon/index.js"

async function absence(): Promise<string | undefined> {
  if (!existsSync("/dev/vsock")) return "no /dev/vsock"
  try {
    await (await listenVsock({ port: VMADDR_PORT_ANY }, () => undefined)).close()
  } catch (error) {
    return isAddonError(error) ? `AF_VSOCK: ${error.code}` : String(error)
  }
  return undefined
}

const reason = await absence()
const title = reason === undefined ? "listenVsock" : `listenVsock (skipped: ${reason})`

describe.skipIf(reason !== undefined)(title, () => {
  it("picks a port, holds it, and gives it back", async () => {
    const server = await listenVsock({ port: VMADDR_PORT_ANY }, () => undefined)
    expect(server.port).toBeGreaterThan(0)
    const again = listenVsock({ port: server.port }, () => undefined)
    await expect(again).rejects.toMatchObject({ code: "EADDRINUSE" })
    await server.close()
    await server.close()
    const second = await listenVsock({ port: server.port }, () => undefined)
    expect(second.port).toBe(server.port)
    await second.close()
  })

  it("listens on many ports at once", async () => {
    const servers: VsockServer[] = []
    for (let i = 0; i < 50; i++) {
      servers.push(await listenVsock({ port: VMADDR_PORT_ANY, backlog: 1 }, () => undefined))
    }
    expect(new Set(servers.map(({ port }) => port)).size).toBe(50)
    await Promise.all(servers.map((server) => server.close()))
  })

  it("refuses a CID that is not this machine's", async () => {
    const server = listenVsock({ port: VMADDR_PORT_ANY, cid: 0x1234_5678 }, () => undefined)
    await expect(server).rejects.toMatchObject({ code: "EADDRNOTAVAIL" })
  })

  it("refuses what is no port", async () => {
    for (const port of [-1, 0.5, 2 ** 32, Number.NaN, "80" as unknown as number]) {
      const server = listenVsock({ port }, () => undefined)
      await expect(server).rejects.toMatchObject({ code: "invalid-argument" })
    }
  })
})

describe("localCid", () => {
  it("is a number, or says why there is none", () => {
    try {
      expect(Number.isInteger(localCid())).toBe(true)
    } catch (error) {
      expect(isAddonError(error) && /^E[A-Z]+$/.test(error.code)).toBe(true)
    }
  })
})
