/** The NSM device where there is none: arguments and the errors of the wrong file. */

import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { NSM_REQUEST_MAX_SIZE, openNsmDevice } from "../../native/addon/index.js"

const thrown = (code: string) => expect.objectContaining({ name: "AddonError", code })

describe("openNsmDevice", () => {
  it("reports a device that is not there", () => {
    const folder = mkdtempSync(join(tmpdir(), "tlskeep-nsm-"))
    expect(() => openNsmDevice(join(folder, "nsm"))).toThrow(thrown("ENOENT"))
    rmSync(folder, { recursive: true })
  })

  it("refuses a path that is none", () => {
    expect(() => openNsmDevice("/dev/null\0nsm")).toThrow(thrown("invalid-argument"))
    expect(() => openNsmDevice(7 as unknown as string)).toThrow(thrown("invalid-argument"))
  })

  it("reports a file that is no NSM", async () => {
    const device = openNsmDevice("/dev/null")
    await expect(device.transact(Buffer.from("x"))).rejects.toEqual(thrown("ENOTTY"))
    device.close()
  })

  it("refuses requests of a wrong length or type, and goes on", async () => {
    const device = openNsmDevice("/dev/null")
    for (const length of [0, NSM_REQUEST_MAX_SIZE + 1]) {
      await expect(device.transact(new Uint8Array(length))).rejects.toEqual(
        thrown("request-len-range"),
      )
    }
    const text = "DescribeNSM" as unknown as Uint8Array
    await expect(device.transact(text)).rejects.toEqual(thrown("invalid-argument"))
    const largest = new Uint8Array(NSM_REQUEST_MAX_SIZE)
    await expect(device.transact(largest)).rejects.toEqual(thrown("ENOTTY"))
    device.close()
  })

  it("is closed for good", async () => {
    const device = openNsmDevice("/dev/null")
    device.close()
    device.close()
    await expect(device.transact(Buffer.from("x"))).rejects.toEqual(thrown("device-closed"))
  })
})
