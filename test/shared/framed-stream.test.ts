/** FramedStream over real sockets: order, back-pressure both ways, endings. */
import { mkdtemp, rm } from "node:fs/promises"
import { createConnection, createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { encodeFrame, MAX_FRAME_BYTES } from "../../shared/frame.js"
import { FramedStream } from "../../shared/framed-stream.js"

let dir: string
let server: Server
let path: string
const sockets: Socket[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "framed-"))
  path = join(dir, "s")
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  server.close()
  await rm(dir, { recursive: true })
})

/** Both ends of a Unix connection; `ours` does not read before it is asked to. */
async function connectedPair(): Promise<{ ours: Socket; theirs: Socket }> {
  const accepted = new Promise<Socket>((resolve) => {
    server = createServer(resolve)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const theirs = createConnection(path)
  theirs.on("error", () => {})
  const ours = await accepted
  sockets.push(ours, theirs)
  return { ours, theirs }
}

/** Records what a FramedStream tells its owner. */
function recorded(socket: Socket) {
  const payloads: string[] = []
  const broken: string[] = []
  const closed: (Error | undefined)[] = []
  const stream = new FramedStream(socket, {
    payload: (payload) => payloads.push(payload.toString()),
    broken: (error) => broken.push(error.code),
    closed: (error) => closed.push(error),
  })
  return { stream, payloads, broken, closed }
}

function frames(...texts: string[]): Buffer {
  return Buffer.concat(texts.map((text) => encodeFrame(Buffer.from(text))))
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 50))

describe("reading", () => {
  it("hands out payloads in order, however they arrive", async () => {
    const { ours, theirs } = await connectedPair()
    const { payloads } = recorded(ours)
    const bytes = frames("one", "two", "three")
    theirs.write(bytes.subarray(0, 5))
    await soon()
    theirs.write(bytes.subarray(5))
    await vi.waitFor(() => expect(payloads).toEqual(["one", "two", "three"]))
  })

  it("reads a socket that was paused before, and what was put back into it", async () => {
    const { ours, theirs } = await connectedPair()
    ours.pause()
    ours.unshift(frames("put back"))
    theirs.write(frames("sent"))
    const { payloads } = recorded(ours)
    await vi.waitFor(() => expect(payloads).toEqual(["put back", "sent"]))
  })

  it("hands out nothing while paused, not even what it has read already", async () => {
    const { ours, theirs } = await connectedPair()
    const seen: string[] = []
    const stream = new FramedStream(ours, {
      payload: (payload) => {
        seen.push(payload.toString())
        stream.pause()
      },
      broken: () => {},
      closed: () => {},
    })
    theirs.write(frames("one", "two", "three"))
    await vi.waitFor(() => expect(seen).toEqual(["one"]))
    await soon()
    expect(seen).toEqual(["one"])
    stream.resume()
    expect(seen).toEqual(["one", "two"])
    stream.resume()
    expect(seen).toEqual(["one", "two", "three"])
    theirs.write(frames("four"))
    await soon()
    expect(seen).toHaveLength(3)
    stream.resume()
    await vi.waitFor(() => expect(seen).toHaveLength(4))
  })

  it("stops taking bytes from the peer while paused", async () => {
    const { ours, theirs } = await connectedPair()
    const { stream, payloads } = recorded(ours)
    stream.pause()
    const big = encodeFrame(Buffer.alloc(MAX_FRAME_BYTES, 0x61))
    for (let i = 0; i < 100; i++) theirs.write(big)
    await soon()
    expect(payloads).toHaveLength(0)
    expect(theirs.writableLength).toBeGreaterThan(90 * MAX_FRAME_BYTES)
    stream.resume()
    await vi.waitFor(() => expect(payloads).toHaveLength(100))
  })

  it("hands out what came before the peer's end although it was paused then", async () => {
    const { ours, theirs } = await connectedPair()
    const { stream, payloads, closed } = recorded(ours)
    stream.pause()
    theirs.end(frames("one", "two"))
    await soon()
    expect(closed).toHaveLength(0)
    stream.resume()
    await vi.waitFor(() => expect(closed).toEqual([undefined]))
    expect(payloads).toEqual(["one", "two"])
  })
})

describe("a peer that does not read", () => {
  it("is not read from either, until it does", async () => {
    const { ours, theirs } = await connectedPair()
    const answer = Buffer.alloc(MAX_FRAME_BYTES, 0x62)
    let asked = 0
    const stream = new FramedStream(ours, {
      payload: () => {
        asked++
        stream.send(answer)
      },
      broken: () => {},
      closed: () => {},
    })
    theirs.pause()
    const questions = 5_000
    theirs.write(frames(...Array.from({ length: questions }, () => "?")))
    await soon()
    await soon()
    // Many questions lie in one read; what they ask for must not pile up here.
    expect(asked).toBeLessThan(100)
    expect(ours.writableLength).toBeLessThan(2 * MAX_FRAME_BYTES)
    let received = 0
    theirs.on("data", (chunk: Buffer) => {
      received += chunk.length
    })
    theirs.resume()
    await vi.waitFor(() => expect(received).toBe(questions * (MAX_FRAME_BYTES + 4)), {
      timeout: 15_000,
      interval: 50,
    })
    expect(asked).toBe(questions)
  })
})

describe("endings", () => {
  it("closes after what was sent has gone out", async () => {
    const { ours, theirs } = await connectedPair()
    const { stream, closed } = recorded(ours)
    const chunks: Buffer[] = []
    theirs.on("data", (chunk: Buffer) => chunks.push(chunk))
    for (let i = 0; i < 20; i++) stream.send(Buffer.alloc(MAX_FRAME_BYTES, i))
    stream.close()
    stream.close()
    stream.send(Buffer.from("too late"))
    await vi.waitFor(() => expect(closed).toEqual([undefined]))
    await vi.waitFor(() => expect(theirs.destroyed).toBe(true))
    expect(Buffer.concat(chunks)).toHaveLength(20 * (MAX_FRAME_BYTES + 4))
  })

  it("cuts a peer off that does not take the last words within a second", async () => {
    const { ours, theirs } = await connectedPair()
    const { stream, closed } = recorded(ours)
    theirs.pause()
    for (let i = 0; i < 50; i++) stream.send(Buffer.alloc(MAX_FRAME_BYTES))
    const start = Date.now()
    stream.close()
    await vi.waitFor(() => expect(closed).toHaveLength(1), { timeout: 3_000 })
    expect(Date.now() - start).toBeGreaterThanOrEqual(950)
    expect(ours.destroyed).toBe(true)
  })

  it("hands out nothing more once it is closing", async () => {
    const { ours, theirs } = await connectedPair()
    const seen: string[] = []
    const stream = new FramedStream(ours, {
      payload: (payload) => {
        seen.push(payload.toString())
        stream.close()
      },
      broken: () => {},
      closed: () => {},
    })
    theirs.write(frames("one", "two"))
    await vi.waitFor(() => expect(ours.destroyed).toBe(true))
    expect(seen).toEqual(["one"])
  })

  it.each([
    ["frame-too-large", Buffer.from("ffffffff", "hex")],
    ["frame-empty", Buffer.from("00000000", "hex")],
  ])("tells of %s once, and can still answer", async (code, bytes) => {
    const { ours, theirs } = await connectedPair()
    const broken: string[] = []
    const stream = new FramedStream(ours, {
      payload: () => {},
      broken: (error) => {
        broken.push(error.code)
        stream.send(Buffer.from("why"))
        stream.close()
      },
      closed: () => {},
    })
    const received: Buffer[] = []
    theirs.on("data", (chunk: Buffer) => received.push(chunk))
    theirs.write(bytes)
    theirs.write(bytes)
    await vi.waitFor(() => expect(theirs.destroyed).toBe(true))
    expect(broken).toEqual([code])
    expect(Buffer.concat(received)).toEqual(frames("why"))
  })

  it("tells of a frame cut short by the peer's end", async () => {
    const { ours, theirs } = await connectedPair()
    const { broken, closed, payloads } = recorded(ours)
    theirs.end(frames("whole", "cut").subarray(0, -1))
    await vi.waitFor(() => expect(closed).toEqual([undefined]))
    expect(payloads).toEqual(["whole"])
    expect(broken).toEqual(["frame-truncated"])
  })

  it("is closed without a fault when the peer ends between frames", async () => {
    const { ours, theirs } = await connectedPair()
    const { broken, closed } = recorded(ours)
    theirs.end(frames("whole"))
    await vi.waitFor(() => expect(closed).toEqual([undefined]))
    expect(broken).toEqual([])
  })

  it("gives the stream's error as the reason", async () => {
    const { ours } = await connectedPair()
    const { closed } = recorded(ours)
    const fault = new Error("fault")
    ours.destroy(fault)
    await vi.waitFor(() => expect(closed).toEqual([fault]))
  })

  it("closes at once when destroyed", async () => {
    const { ours, theirs } = await connectedPair()
    const { stream, closed } = recorded(ours)
    theirs.pause()
    for (let i = 0; i < 50; i++) stream.send(Buffer.alloc(MAX_FRAME_BYTES))
    stream.destroy()
    stream.send(Buffer.from("too late"))
    expect(ours.destroyed).toBe(true)
    await vi.waitFor(() => expect(closed).toHaveLength(1))
  })
})
