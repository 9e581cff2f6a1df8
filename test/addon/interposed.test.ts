/** The NSM's ioctl and AF_VSOCK connections, in a child process whose system calls are interposed. */

import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Bundle, bundleChild } from "./bundle.js"

let bundle: Bundle
let results: { nsm: Record<string, unknown>; vsock: Record<string, unknown> }

beforeAll(async () => {
  bundle = await bundleChild("interposed")
  const library = join(bundle.folder, "interpose.so")
  const source = fileURLToPath(new URL("interpose.c", import.meta.url))
  execFileSync("cc", [
    "-shared",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-o",
    library,
    source,
    "-ldl",
  ])
  const output = execFileSync(process.execPath, [bundle.main], {
    env: { ...process.env, LD_PRELOAD: library },
    timeout: 15_000,
  })
  results = JSON.parse(output.toString())
}, 30_000)

afterAll(() => bundle.remove())

describe("NSM transactions", () => {
  it("carry the request there and the answer back", () => {
    expect(results.nsm.reversed).toBe("cba")
    expect(results.nsm.largest).toBe(0xfff)
  })

  it("queue, one in the driver at a time, answers in order", () => {
    expect(results.nsm.many).toBe("01234567")
    expect(results.nsm.mostAtOnce).toBe(1)
  })

  it("refuse an answer that may have been cut, and take one byte less", () => {
    expect(results.nsm.full).toBe("response-truncated")
    expect(results.nsm.almostFull).toBe(0x2fff)
  })

  it("report the driver's error", () => {
    expect(results.nsm.timedOut).toBe("ETIMEDOUT")
  })

  it("finish when in flight at close(), and are refused after it", () => {
    expect(results.nsm.inFlightAtClose).toBe("tsal")
    expect(results.nsm.afterClose).toBe("device-closed")
  })
})

describe("vsock connections", () => {
  it("connect, echo and end", () => {
    expect(results.vsock.echoed).toBe("over there and back")
    expect(results.vsock.several).toBe(true)
    expect(results.vsock.accepted).toBe(101)
  })

  it("tell who the peer is", () => {
    expect(results.vsock.cid).toBe(4)
    expect(results.vsock.peerPort).toBe(true)
  })

  it("report that nobody listens", () => {
    expect(results.vsock.refused).toBe("ECONNREFUSED")
  })

  it("give up when nobody answers in time", () => {
    expect(results.vsock.silent).toBe("ETIMEDOUT")
  })

  it("leave no descriptor behind", () => {
    expect(results.vsock.descriptorsLeft).toBe(0)
  })

  it("refuse what is no address", () => {
    expect(results.vsock.badCid).toBe("invalid-argument")
    expect(results.vsock.badPort).toBe("invalid-argument")
  })
})
