/** Transports over real Unix sockets, and a multiplexer that misbehaves in every way. */
import { type ChildProcess, spawn } from "node:child_process"
import { lstat, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises"
import { createConnection, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duplex } from "node:stream"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { encodeFrame } from "../../shared/frame.js"
import { FramedStream } from "../../shared/framed-stream.js"
import { connect, type Listener, listen } from "../../shared/transport/transport.js"
import { rejectionCode } from "./codes.js"
import { startMultiplexer } from "./multiplexer.js"

let dir: string
const cleanups: (() => unknown)[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "transport-"))
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await rm(dir, { recursive: true })
})

const at = (name: string) => join(dir, name)

/** Serves `path` by echoing what arrives. */
async function echoAt(path: string): Promise<Listener> {
  const listener = await listen({ kind: "unix", path }, (stream) => {
    cleanups.push(() => stream.destroy())
    stream.on("error", () => {}).pipe(stream)
  })
  cleanups.push(() => listener.close())
  return listener
}

async function answerOf(stream: Duplex, question: string): Promise<string> {
  cleanups.push(() => stream.destroy())
  stream.write(question)
  return new Promise((resolve) => {
    stream.once("data", (chunk: Buffer) => resolve(chunk.toString()))
    stream.resume()
  })
}

describe("unix:", () => {
  it("connects what listens", async () => {
    await echoAt(at("s"))
    const stream = await connect({ kind: "unix", path: at("s") })
    expect(await answerOf(stream, "hello")).toBe("hello")
  })

  it("lets everyone connect, as AF_VSOCK does", async () => {
    await echoAt(at("s"))
    expect((await stat(at("s"))).mode & 0o777).toBe(0o666)
  })

  it("is refused where nothing is, where nobody listens, and where it is no socket", async () => {
    await writeFile(at("file"), "")
    await leaveStaleSocket(at("stale"))
    for (const name of ["missing", "no/dir/s", "stale", "file"]) {
      const code = await rejectionCode(connect({ kind: "unix", path: at(name) }))
      expect(code, name).toBe("connection-refused")
    }
  })

  it("replaces the socket of a process that is gone", async () => {
    await leaveStaleSocket(at("s"))
    await echoAt(at("s"))
    expect(await answerOf(await connect({ kind: "unix", path: at("s") }), "x")).toBe("x")
  })

  it("does not replace a socket that is served", async () => {
    await echoAt(at("s"))
    const again = listen({ kind: "unix", path: at("s") }, () => {})
    expect(await rejectionCode(again)).toBe("address-in-use")
    expect(await answerOf(await connect({ kind: "unix", path: at("s") }), "x")).toBe("x")
  })

  it("does not replace the socket of a server too busy to accept", async () => {
    await listenWithoutAccepting(at("s"))
    const inode = (await stat(at("s"))).ino
    const again = listen({ kind: "unix", path: at("s") }, () => {})
    expect(await rejectionCode(again)).toBe("address-in-use")
    expect((await stat(at("s"))).ino).toBe(inode)
  })

  it("lets one of two that start at once have the address", async () => {
    const both = [1, 2].map(() => listen({ kind: "unix", path: at("s") }, () => {}))
    const codes = await Promise.all(both.map(rejectionCode))
    expect(codes.sort()).toEqual(["address-in-use", "no error"])
    for (const listening of both) await listening.then((it) => it.close()).catch(() => {})
  })

  it("does not touch what is no socket", async () => {
    await writeFile(at("file"), "precious")
    const code = await rejectionCode(listen({ kind: "unix", path: at("file") }, () => {}))
    expect(code).toBe("address-in-use")
    expect((await lstat(at("file"))).isFile()).toBe(true)
  })

  it("stops accepting on close and keeps the streams it has", async () => {
    const listener = await echoAt(at("s"))
    const stream = await connect({ kind: "unix", path: at("s") })
    expect(await answerOf(stream, "before")).toBe("before")
    await listener.close()
    await listener.close()
    expect(await rejectionCode(connect({ kind: "unix", path: at("s") }))).toBe("connection-refused")
    expect(await answerOf(stream, "after")).toBe("after")
    expect(await readdir(dir)).toEqual([])
  })
})

describe("vsock:", () => {
  it("needs the addon", async () => {
    const address = { kind: "vsock", cid: 16, port: 9999 } as const
    expect(await rejectionCode(connect(address))).toBe("transport-unavailable")
    expect(await rejectionCode(listen(address, () => {}))).toBe("transport-unavailable")
  })

  it("is handed to the transport given, with the time-out", async () => {
    const calls: unknown[] = []
    const stream = new Duplex({ read() {}, write() {} })
    const vsock = {
      connect: async (peer: object) => {
        calls.push(peer)
        return stream
      },
      listen: async (port: number) => {
        calls.push(port)
        return { close: async () => {} }
      },
    }
    const address = { kind: "vsock", cid: 16, port: 9999 } as const
    expect(await connect(address, { vsock, timeoutMs: 1_234 })).toBe(stream)
    await connect(address, { vsock })
    await listen(address, () => {}, { vsock })
    expect(calls).toMatchObject([
      { cid: 16, port: 9999, timeoutMs: 1_234 },
      { cid: 16, port: 9999, timeoutMs: 5_000 },
      9999,
    ])
  })
})

describe("unix+vsock:", () => {
  const address = (port = 52) => ({ kind: "unix+vsock", path: at("mux"), port }) as const
  async function multiplexer(answer: (socket: Socket, line: string) => void) {
    const mux = await startMultiplexer(at("mux"), answer)
    cleanups.push(() => mux.close())
    return mux
  }
  const quickly = { timeoutMs: 200 }

  it("asks for the port and then is a raw stream", async () => {
    const mux = await multiplexer((socket) => {
      socket.write("OK 1073741824\n")
      socket.pipe(socket)
    })
    const stream = await connect(address(9999), quickly)
    expect(await answerOf(stream, "raw")).toBe("raw")
    expect(mux.requests).toEqual(["CONNECT 9999\n"])
  })

  it("keeps the bytes right behind the OK line for the stream's reader", async () => {
    await multiplexer((socket) => {
      const behind = Buffer.concat([encodeFrame(Buffer.from("first")), Buffer.from([0, 0])])
      socket.write(Buffer.concat([Buffer.from("OK 5\n"), behind]))
      setTimeout(() => socket.write(Buffer.concat([Buffer.from([0, 1]), Buffer.from("x")])), 30)
    })
    const stream = await connect(address(), quickly)
    cleanups.push(() => stream.destroy())
    const payloads: string[] = []
    new FramedStream(stream, {
      payload: (payload) => payloads.push(payload.toString()),
      broken: (error) => payloads.push(error.code),
      closed: () => {},
    })
    await vi.waitFor(() => expect(payloads).toEqual(["first", "x"]))
  })

  it("reads an answer that arrives byte by byte", async () => {
    await multiplexer((socket) => {
      const answer = "OK 7\nz"
      ;[...answer].forEach((char, i) => void setTimeout(() => socket.write(char), 5 * i))
    })
    const stream = await connect(address(), quickly)
    expect(await answerOf(stream, "")).toBe("z")
  })

  it.each([
    ["another word", "NO\n"],
    ["OK without a number", "OK\n"],
    ["OK and no number", "OK x\n"],
    ["a number that is too long", "OK 12345678901\n"],
    ["a carriage return", "OK 1\r\n"],
    ["a line without end", "O".repeat(33)],
    ["an endless number", `OK ${"1".repeat(40)}`],
  ])("is refused by %s", async (_name, answer) => {
    let gone = false
    await multiplexer((socket) => {
      socket.once("close", () => {
        gone = true
      })
      socket.resume()
      socket.write(answer)
    })
    expect(await rejectionCode(connect(address(), quickly))).toBe("connection-refused")
    await vi.waitFor(() => expect(gone).toBe(true))
  })

  it("is refused by a multiplexer that closes: nobody listens at the port", async () => {
    await multiplexer((socket) => socket.end())
    expect(await rejectionCode(connect(address(), quickly))).toBe("connection-refused")
  })

  it("is refused by a multiplexer that breaks off within its answer", async () => {
    await multiplexer((socket) => socket.end("OK 1"))
    expect(await rejectionCode(connect(address(), quickly))).toBe("connection-refused")
  })

  it("is refused where no multiplexer listens", async () => {
    expect(await rejectionCode(connect(address(), quickly))).toBe("connection-refused")
  })

  it("gives up on one that does not answer", async () => {
    await multiplexer(() => {})
    const start = Date.now()
    expect(await rejectionCode(connect(address(), quickly))).toBe("connection-timeout")
    expect(Date.now() - start).toBeLessThan(2_000)
  })

  it("listens where a guest's connections to the port arrive", async () => {
    const listener = await listen(address(8000), (stream) => void stream.end("from the host"))
    cleanups.push(() => listener.close())
    expect((await stat(`${at("mux")}_8000`)).mode & 0o777).toBe(0o666)
    const stream = await connect({ kind: "unix", path: `${at("mux")}_8000` })
    expect(await answerOf(stream, "")).toBe("from the host")
  })
})

/** A socket file that nobody serves, as a killed process leaves it. */
async function leaveStaleSocket(path: string): Promise<void> {
  const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => {
    process.kill(process.pid, "SIGKILL")
  })`
  await exited(spawn(process.execPath, ["-e", script]))
  expect((await lstat(path)).isSocket()).toBe(true)
}

/** A server that is alive but accepts nothing, its queue full. */
async function listenWithoutAccepting(path: string): Promise<void> {
  const script = `require("node:net").createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => {
    require("node:fs").writeSync(1, "listening")
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  })`
  const child = spawn(process.execPath, ["-e", script])
  cleanups.push(async () => {
    child.kill("SIGKILL")
    await exited(child)
  })
  await new Promise((resolve) => child.stdout.once("data", resolve))
  const waiting: Socket[] = []
  cleanups.push(() => {
    for (const socket of waiting) socket.destroy()
  })
  for (let queued = true; queued; ) {
    queued = await new Promise<boolean>((resolve) => {
      const socket = createConnection(path)
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
      waiting.push(socket)
    })
  }
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once("exit", () => resolve())
  })
}
