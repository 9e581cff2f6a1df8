/** SocketStream over socket pairs: data, back-pressure, the ends of a connection and its faults. */

import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { closeSync, openSync, readdirSync } from "node:fs"
import { Readable } from "node:stream"
import { buffer, text } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { type SocketStream, socketPair, streamFromFd } from "../../native/addon/index.js"

const MIB = 1024 * 1024
const openDescriptors = () => readdirSync("/proc/self/fd").length

function pair(allowHalfOpen = true): [SocketStream, SocketStream] {
  const [a, b] = socketPair()
  return [streamFromFd(a, { allowHalfOpen }), streamFromFd(b, { allowHalfOpen })]
}

function closeBoth(...streams: SocketStream[]): Promise<unknown> {
  return Promise.all(
    streams.map((stream) => {
      if (stream.closed) return undefined
      stream.destroy()
      return once(stream, "close")
    }),
  )
}

/** `total` random bytes in chunks of 1 to `largest`, added to `hash` as they go. */
function* randomChunks(total: number, largest: number, hash: ReturnType<typeof createHash>) {
  const pool = randomBytes(largest * 2)
  for (let left = total; left > 0; ) {
    const size = Math.min(left, 1 + Math.floor(Math.random() * largest))
    const start = Math.floor(Math.random() * largest)
    const chunk = pool.subarray(start, start + size)
    hash.update(chunk)
    left -= size
    yield chunk
  }
}

async function echo(total: number, largest: number): Promise<void> {
  const [near, far] = pair()
  const sent = createHash("sha256")
  const received = createHash("sha256")
  let size = 0
  const echoing = pipeline(far, far)
  near.on("data", (chunk: Buffer) => {
    received.update(chunk)
    size += chunk.length
  })
  const ended = once(near, "end")
  await pipeline(Readable.from(randomChunks(total, largest, sent), { objectMode: true }), near, {
    end: true,
  }).catch((error) => {
    if (error.code !== "ERR_STREAM_PREMATURE_CLOSE") throw error
  })
  await ended
  await echoing
  expect(size).toBe(total)
  expect(received.digest("hex")).toBe(sent.digest("hex"))
  await closeBoth(near, far)
}

describe("data", () => {
  it("echoes 64 MiB in chunks of random sizes", () => echo(64 * MIB, 200_000), 60_000)

  it("echoes 1 MiB in tiny chunks", () => echo(MIB, 64), 60_000)

  it("carries one chunk larger than every buffer", async () => {
    const [near, far] = pair()
    const data = randomBytes(32 * MIB)
    near.end(data)
    expect(data.equals(await buffer(far))).toBe(true)
    await closeBoth(near, far)
  })

  it("keeps the order of chunks written at once, empty ones and strings among them", async () => {
    const [near, far] = pair()
    let expected = ""
    near.cork()
    for (let i = 0; i < 5000; i++) {
      const piece = i % 7 === 0 ? "" : `${i};`.repeat(i % 13)
      expected += piece
      if (i % 2 === 0) near.write(piece)
      else near.write(new TextEncoder().encode(piece))
    }
    near.uncork()
    near.end()
    expect(await text(far)).toBe(expected)
    await closeBoth(near, far)
  })

  it("serves many streams at once", async () => {
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const [near, far] = pair()
        const data = randomBytes(1 + i * 997)
        far.pipe(far)
        near.end(data)
        expect(data.equals(await buffer(near))).toBe(true)
        await closeBoth(near, far)
      }),
    )
  }, 30_000)
})

describe("back-pressure", () => {
  it("stops the writer of a reader that does not read, and loses nothing", async () => {
    const [near, far] = pair()
    const chunk = randomBytes(64 * 1024)
    let written = 0
    const before = process.memoryUsage().arrayBuffers
    while (near.write(chunk)) written += chunk.length
    written += chunk.length
    await sleep(50)
    // What is accepted lies in the kernel's buffers and two high-water marks, no more.
    expect(written).toBeLessThan(2 * MIB)
    expect(near.writableLength).toBeLessThanOrEqual(chunk.length + near.writableHighWaterMark)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * MIB)
    near.end()
    expect((await buffer(far)).length).toBe(written)
    await closeBoth(near, far)
  })

  it("stops reading when the consumer lags, and memory stays flat", async () => {
    const [near, far] = pair()
    const total = 48 * MIB
    const writing = pipeline(
      Readable.from(randomChunks(total, 100_000, createHash("sha256")), { objectMode: true }),
      near,
    ).catch((error) => {
      if (error.code !== "ERR_STREAM_PREMATURE_CLOSE") throw error
    })
    let size = 0
    let largestBuffered = 0
    for await (const chunk of far) {
      size += chunk.length
      largestBuffered = Math.max(largestBuffered, far.readableLength)
      if (size % 16 === 0) await sleep(1)
    }
    far.end()
    near.resume()
    await writing
    expect(size).toBe(total)
    expect(largestBuffered).toBeLessThan(MIB)
    await closeBoth(near, far)
  }, 60_000)

  it("resumes after pause()", async () => {
    const [near, far] = pair()
    far.pause()
    let seen = 0
    far.on("data", (chunk: Buffer) => {
      seen += chunk.length
    })
    far.pause()
    near.write("12345")
    await sleep(30)
    expect(seen).toBe(0)
    far.resume()
    near.write("678")
    await sleep(30)
    expect(seen).toBe(8)
    await closeBoth(near, far)
  })
})

describe("the end", () => {
  it("is heard by the peer, who may go on writing", async () => {
    const [near, far] = pair()
    const received = ["", ""]
    far.on("data", (chunk) => {
      received[0] += chunk
    })
    near.on("data", (chunk) => {
      received[1] += chunk
    })
    near.end("question")
    await once(far, "end")
    await sleep(10)
    expect([near.destroyed, far.destroyed]).toEqual([false, false])
    far.write("late ")
    far.end("answer")
    await Promise.all([once(near, "close"), once(far, "close")])
    expect(received).toEqual(["question", "late answer"])
    await closeBoth(near, far)
  })

  it("closes both sides by itself unless half-open is allowed", async () => {
    const [near, far] = pair(false)
    const closed = Promise.all([once(near, "close"), once(far, "close")])
    far.resume()
    near.resume()
    near.end("bye")
    await closed
    expect([near.errored, far.errored]).toEqual([null, null])
  })

  it("flushes what was written before it", async () => {
    const [near, far] = pair()
    const data = randomBytes(5 * MIB)
    near.write(data)
    near.end()
    expect(data.equals(await buffer(far))).toBe(true)
    await closeBoth(near, far)
  })
})

describe("faults", () => {
  it("a peer that closes with unread data resets the connection", async () => {
    const [near, far] = pair()
    near.write("never read")
    const error = once(near, "error")
    near.resume()
    far.destroy()
    expect((await error)[0]).toMatchObject({ name: "AddonError", code: "ECONNRESET" })
    await closeBoth(near, far)
  })

  it("what arrived before a reset is still delivered to a reader that was paused", async () => {
    const [near, far] = pair()
    near.write("unread by far")
    far.write("sent by far")
    await sleep(10)
    far.destroy()
    await sleep(10)
    const received: string[] = []
    near.on("data", (chunk: Buffer) => received.push(chunk.toString()))
    const [error] = await once(near, "error")
    expect(error).toMatchObject({ code: "ECONNRESET" })
    expect(received).toEqual(["sent by far"])
    await closeBoth(near, far)
  })

  it("writing to a peer that is gone is EPIPE, and no signal", async () => {
    const [near, far] = pair()
    far.destroy()
    await sleep(10)
    near.write("anybody there?")
    expect((await once(near, "error"))[0]).toMatchObject({ code: "EPIPE" })
    await closeBoth(near, far)
  })

  it("a write that waits fails when the peer goes", async () => {
    const [near, far] = pair()
    const results: (Error | null | undefined)[] = []
    near.write(randomBytes(8 * MIB), (error) => results.push(error))
    await sleep(10)
    const error = once(near, "error")
    far.destroy()
    expect(["EPIPE", "ECONNRESET"]).toContain((await error)[0].code)
    expect(results).toHaveLength(1)
    expect(results[0]).toBeInstanceOf(Error)
    await closeBoth(near, far)
  })

  it("destroy() in the middle of a write calls back once and closes the descriptor", async () => {
    const before = openDescriptors()
    const [near, far] = pair()
    const results: unknown[] = []
    near.write(randomBytes(8 * MIB), (error) => results.push(error))
    near.write("queued", (error) => results.push(error))
    await sleep(10)
    near.destroy()
    near.destroy()
    await once(near, "close")
    expect(results.map((error) => (error as { code: string }).code)).toEqual([
      "ECANCELED",
      "ECANCELED",
    ])
    await closeBoth(far)
    expect(openDescriptors()).toBe(before)
  })

  it("destroy() inside a data handler stops the data", async () => {
    const [near, far] = pair()
    near.write(randomBytes(MIB / 2))
    let chunks = 0
    far.on("data", () => {
      chunks++
      far.destroy()
    })
    far.on("error", () => undefined)
    near.on("error", () => undefined)
    await once(far, "close")
    expect(chunks).toBe(1)
    await closeBoth(near)
  })

  it("a chunk detached while it waits fails the write, and reads no foreign memory", async () => {
    const [near, far] = pair()
    const data = new Uint8Array(8 * MIB)
    const error = once(near, "error")
    near.write(data)
    await sleep(10)
    structuredClone(data.buffer, { transfer: [data.buffer] })
    far.resume()
    expect((await error)[0]).toMatchObject({ code: "invalid-argument" })
    await closeBoth(near, far)
  })

  it.each([
    ["a closed descriptor", 1_000_000, "EBADF"],
    ["no descriptor", -1, "invalid-argument"],
    ["half a descriptor", 1.5, "invalid-argument"],
  ])("refuses %s", (_, fd, code) => {
    expect(() => streamFromFd(fd)).toThrow(expect.objectContaining({ code }))
  })

  it("refuses a descriptor that is no socket", () => {
    const fd = openSync("/dev/null", "r")
    expect(() => streamFromFd(fd)).toThrow(expect.objectContaining({ code: "ENOTSOCK" }))
    closeSync(fd) // still ours
  })
})

describe("descriptors", () => {
  it("are all given back after 1000 connections", async () => {
    const cycle = async (i: number) => {
      const [near, far] = pair()
      near.on("error", () => undefined)
      far.on("error", () => undefined)
      near.write(`${i}`)
      if (i % 3 === 0) near.end()
      if (i % 2 === 0) far.resume()
      if (i % 5 === 0) await sleep(0)
      await closeBoth(near, far)
    }
    await cycle(0)
    const before = openDescriptors()
    for (let i = 0; i < 1000; i++) await cycle(i)
    expect(openDescriptors()).toBe(before)
  })
})
