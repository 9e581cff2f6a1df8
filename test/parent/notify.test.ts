/** Notifications as a service manager receives them: a datagram socket of Python's listens. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { sendUnixDatagram } from "../../native/addon/unix-datagram.js"
import { startNotifier } from "../../parent/notify/notifier.js"

vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

/** Prints `listening`, then each datagram as JSON with the sender's pid, as systemd takes it. */
const LISTENER = `
import json, os, socket, struct, sys
name = sys.argv[1]
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
server.bind("\\0" + name[1:] if name.startswith("@") else name)
print("listening", flush=True)
while True:
    data, ancillary, _, _ = server.recvmsg(4096, socket.CMSG_SPACE(12))
    pid = next(struct.unpack("iii", d)[0] for l, t, d in ancillary if t == socket.SCM_CREDENTIALS)
    print(json.dumps({"text": data.decode(), "pid": pid}), flush=True)
`

interface Received {
  text: string
  pid: number
}

let dir: string
let child: ChildProcess | undefined
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "notify-"))
})
afterEach(async () => {
  if (child !== undefined && child.exitCode === null) {
    child.kill("SIGKILL")
    await once(child, "close")
  }
  child = undefined
  await rm(dir, { recursive: true })
})

/** Listens at `socket`; the function returned waits for so many datagrams. */
async function listen(socket: string): Promise<(count: number) => Promise<Received[]>> {
  const python = spawn("python3", ["-c", LISTENER, socket], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  child = python
  const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]()
  expect((await lines.next()).value).toBe("listening")
  return async (count) => {
    const received: Received[] = []
    while (received.length < count) {
      const { value } = await lines.next()
      received.push(JSON.parse(String(value)) as Received)
    }
    return received
  }
}

function recordingLog() {
  const lines: { fields: object; message: string }[] = []
  return { lines, warn: (fields: object, message: string) => lines.push({ fields, message }) }
}

describe("with a service manager", () => {
  it.each([
    ["at a path", () => join(dir, "notify")],
    ["at an abstract address", () => `@tlskeep-test-${process.pid}-${Math.random()}`],
  ])("%s tells it of start, state and end from this very process", async (_name, socketOf) => {
    const socket = socketOf()
    const next = await listen(socket)
    const log = recordingLog()
    const notifier = startNotifier({ environment: { NOTIFY_SOCKET: socket }, pid: 1, log })
    notifier.status("2 of 3 tokens serve")
    notifier.ready()
    notifier.status("2 of 3 tokens serve")
    notifier.status("line\nMAINPID=1")
    notifier.stopping()
    const received = await next(4)
    expect(received.map(({ text }) => text)).toEqual([
      "STATUS=2 of 3 tokens serve",
      "READY=1",
      "STATUS=line MAINPID=1",
      "STOPPING=1",
    ])
    expect(new Set(received.map(({ pid }) => pid))).toEqual(new Set([process.pid]))
    expect(log.lines).toEqual([])
  })

  it("gives signs of life while alive, and none after the end", async () => {
    const socket = join(dir, "notify")
    const next = await listen(socket)
    let asked = 0
    const environment = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "20000", WATCHDOG_PID: "77" }
    const notifier = startNotifier({
      environment,
      pid: 77,
      log: recordingLog(),
      // The first is refused: what arrives began with the second.
      alive: () => ++asked > 1,
    })
    expect((await next(2)).map(({ text }) => text)).toEqual(["WATCHDOG=1", "WATCHDOG=1"])
    expect(asked).toBeGreaterThanOrEqual(3)
    notifier.stopping()
    const before = asked
    sendUnixDatagram(socket, "last")
    const texts: string[] = []
    while (texts.at(-1) !== "last") texts.push(...(await next(1)).map(({ text }) => text))
    expect(texts.at(-2)).toBe("STOPPING=1")
    expect(asked).toBe(before)
  })

  it("gives no signs of life where the watchdog is for another process", async () => {
    const socket = join(dir, "notify")
    const next = await listen(socket)
    const environment = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "2000", WATCHDOG_PID: "77" }
    const alive = vi.fn(() => true)
    const notifier = startNotifier({ environment, pid: 78, log: recordingLog(), alive })
    await new Promise((resolve) => setTimeout(resolve, 20))
    notifier.ready()
    expect((await next(1)).map(({ text }) => text)).toEqual(["READY=1"])
    expect(alive).not.toHaveBeenCalled()
  })

  it("keeps its socket from commands that inherit the environment", () => {
    const environment: NodeJS.ProcessEnv = {
      NOTIFY_SOCKET: join(dir, "none"),
      WATCHDOG_USEC: "60000000",
      WATCHDOG_PID: "1",
      PATH: "/usr/bin",
    }
    startNotifier({ environment, pid: 1, log: recordingLog() }).stopping()
    expect(environment).toEqual({ PATH: "/usr/bin" })
  })
})

describe("without a service manager", () => {
  it("does nothing", () => {
    const log = recordingLog()
    const notifier = startNotifier({ environment: { WATCHDOG_USEC: "1000" }, pid: 1, log })
    notifier.ready()
    notifier.status("x")
    notifier.stopping()
    expect(log.lines).toEqual([])
  })

  it("says once that nobody listens", () => {
    const log = recordingLog()
    const environment = { NOTIFY_SOCKET: join(dir, "nobody") }
    const notifier = startNotifier({ environment, pid: 1, log })
    notifier.ready()
    notifier.status("x")
    notifier.stopping()
    expect(log.lines).toEqual([
      { fields: { code: "ENOENT" }, message: "cannot notify the service manager" },
    ])
  })
})

describe("a datagram", () => {
  it.each(["", "@", `/${"x".repeat(107)}`, "/a\0b"])("is not sent to %j", (path) => {
    expect(() => sendUnixDatagram(path, "x")).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    )
  })
})
