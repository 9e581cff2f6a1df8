/** The signing service from JavaScript: what it takes, and how it ends, with its process or before. */

import { execFile } from "node:child_process"
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  closeDescriptor,
  isAddonError,
  SigningService,
  socketPair,
} from "../../native/addon/index.js"
import { encodeFrame } from "../../shared/frame.js"
import { type Bundle, bundleChild } from "./bundle.js"
import { GATE, HELLO, idOfSignature, Recorder, signFrame, useService } from "./signing-service.js"

const fixture = useService()
const { connect, logIn } = fixture

function codeOf(body: () => unknown): string {
  try {
    body()
    return "no error"
  } catch (error) {
    return isAddonError(error) ? error.code : String(error)
  }
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}

describe("the service", () => {
  it("signs while the event loop does something else", () => {
    const [ours, theirs] = socketPair()
    const channel = fixture.service.adopt(theirs, new Recorder())
    channel.greet()
    channel.prove(GATE)
    writeSync(ours, signFrame(3))
    const answer = Buffer.alloc(4 + 1 + 1 + 1 + 2 + 64)
    for (let at = 0; at < answer.length; ) {
      try {
        at += readSync(ours, answer, at, answer.length - at, null)
      } catch (error) {
        expect(error).toMatchObject({ code: "EAGAIN" })
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      }
    }
    expect(idOfSignature(answer.subarray(4))).toBe(3)
    closeDescriptor(ours)
  })

  it("measures what it signs", async () => {
    expect(fixture.service.latency()).toEqual({ counts: [0, 0, 0], sum: 0 })
    const { peer } = logIn(new Recorder())
    for (let id = 0; id < 5; id++) {
      peer.stream.write(signFrame(id))
      expect(await peer.nextSignature()).toBe(id)
    }
    // The last one is counted behind its answer.
    const counted = () => fixture.service.latency().counts.reduce((sum, count) => sum + count)
    while (counted() < 5) await new Promise((resolve) => setImmediate(resolve))
    expect(counted()).toBe(5)
    expect(fixture.service.latency().sum).toBeGreaterThan(0)
    fixture.service.stop()
    expect(fixture.service.latency()).toEqual({ counts: [], sum: 0 })
  })

  it("refuses descriptors that it cannot serve, and closes them", async () => {
    const handlers = new Recorder()
    for (const fd of [-1, 1.5, 2 ** 31, Number.NaN]) {
      expect(codeOf(() => fixture.service.adopt(fd, handlers))).toBe("invalid-argument")
    }
    expect(codeOf(() => fixture.service.adopt(2 ** 31 - 1, handlers))).toBe("EBADF")
    const file = openSync(process.execPath, "r")
    expect(codeOf(() => fixture.service.adopt(file, handlers))).toBe("EPERM")
    expect(isOpen(file)).toBe(false)
    const { peer } = logIn(handlers)
    peer.stream.write(signFrame(1))
    expect(await peer.nextSignature()).toBe(1)
    expect(handlers.events).toEqual([])
  })

  it.each([
    { threads: 0, latencyBounds: [] },
    { threads: 65, latencyBounds: [] },
    { threads: 1, latencyBounds: [-1] },
    { threads: 1, latencyBounds: [0.5] },
  ])("refuses %o", (options) => {
    expect(codeOf(() => new SigningService(fixture.directory, options))).toBe("invalid-argument")
  })

  it("stops once, and tells each channel once", async () => {
    const recorders = Array.from({ length: 5 }, () => new Recorder())
    const connections = recorders.map(logIn)
    const closedBefore = connections[0] as (typeof connections)[number]
    closedBefore.channel.destroy()
    await recorders[0]?.count(1)
    for (const { peer } of connections.slice(1)) peer.stream.write(signFrame(1))
    fixture.service.stop()
    fixture.service.stop()
    for (const { peer, channel } of connections) {
      await peer.ended
      channel.send(Buffer.from("nobody"))
      channel.close()
    }
    await new Promise((resolve) => setImmediate(resolve))
    for (const { events } of recorders) expect(events).toEqual(["closed"])
  })

  it("may be stopped by a handler", async () => {
    const events: string[] = []
    await new Promise<void>((resolve) => {
      const { peer } = connect({
        payload: () => {
          events.push("payload")
          fixture.service.stop()
          resolve()
        },
        ended: () => events.push("ended"),
        closed: () => events.push("closed"),
      })
      peer.stream.write(Buffer.concat([HELLO, HELLO]))
      peer.stream.end()
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(events).toEqual(["payload", "closed"])
  })

  it("lets go of requests that nobody has taken when it stops", async () => {
    // Of 40 rounds of 40 requests of 64 KiB each, 100 MB would stay.
    const request = encodeFrame(Buffer.alloc(65_536, 1))
    const round = async () => {
      const own = new SigningService(fixture.directory, { threads: 2, latencyBounds: [] })
      for (let i = 0; i < 40; i++) {
        const [ours, theirs] = socketPair()
        own.adopt(theirs, new Recorder())
        writeSync(ours, request)
        closeDescriptor(ours)
      }
      // Time for the threads to read; the event loop has none.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
      own.stop()
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (let i = 0; i < 5; i++) await round()
    const before = process.memoryUsage.rss()
    for (let i = 0; i < 40; i++) await round()
    expect(process.memoryUsage.rss() - before).toBeLessThan(50_000_000)
  })

  it("takes nothing when it has been stopped, and closes what it is given", () => {
    fixture.service.stop()
    const [ours, theirs] = socketPair()
    expect(codeOf(() => fixture.service.adopt(theirs, new Recorder()))).toBe("stopped")
    expect(isOpen(theirs)).toBe(false)
    closeSync(ours)
  })
})

describe("a handler that throws", () => {
  let bundle: Bundle
  beforeAll(async () => {
    bundle = await bundleChild("signing-throws")
  })
  afterAll(() => bundle.remove())

  it.each(["payload", "ended", "closed"])("in %s is an uncaught exception", async (handler) => {
    const run = promisify(execFile)(process.execPath, [bundle.main, handler], { timeout: 60_000 })
    await expect(run).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`^Uncaught: thrown in ${handler}\n$`)),
    })
  })

  it("goes on where the process does, with the next request", async () => {
    const args = [bundle.main, "payload", "go-on"]
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
      timeout: 60_000,
    })
    expect(stderr).toBe("Uncaught: thrown in payload\n".repeat(2))
    expect(stdout).toBe("closed\n")
  })
})

describe("threads and processes that end under load", () => {
  let bundle: Bundle
  beforeAll(async () => {
    bundle = await bundleChild("signing-ends")
  })
  afterAll(() => bundle.remove())

  it("take the service with them", async () => {
    const run = promisify(execFile)
    const { stdout, stderr } = await run(process.execPath, [bundle.main], { timeout: 60_000 })
    expect(stderr).toBe("")
    expect(JSON.parse(stdout)).toEqual({ sockets: 0, threads: 0 })
  }, 60_000)
})
