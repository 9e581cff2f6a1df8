/** The addon at the ends of things: threads and processes that stop in the midst of its work. */

import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Bundle, bundleChild } from "./bundle.js"

describe("threads and processes", () => {
  let bundle: Bundle
  beforeAll(async () => {
    bundle = await bundleChild("worker")
  })
  afterAll(() => bundle.remove())

  it("may end while sockets are open and signatures in flight", async () => {
    const run = promisify(execFile)
    const { stdout, stderr } = await run(process.execPath, [bundle.main], { timeout: 60_000 })
    expect(stderr).toBe("")
    expect(JSON.parse(stdout)).toEqual({ left: 0 })
  }, 60_000)
})

describe("a listening socket inherited from the parent process", () => {
  let bundle: Bundle
  const children: ChildProcess[] = []
  beforeAll(async () => {
    bundle = await bundleChild("listen-inherited")
  })
  afterAll(async () => {
    for (const child of children) child.kill()
    await bundle.remove()
  })

  /** The child, once it listens, its port and what it prints. */
  async function serve(maxDescriptors: number) {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle
    const script = `ulimit -n ${maxDescriptors}; exec "$0" "$1"`
    const child = spawn("sh", ["-c", script, process.execPath, bundle.main], {
      stdio: ["ignore", "pipe", "inherit", fd],
    })
    server.close() // the child's copy is the only one left to accept
    const output: string[] = []
    child.stdout?.on("data", (data: Buffer) => output.push(...data.toString().trim().split("\n")))
    children.push(child)
    while (!output.includes("ready")) {
      if (child.exitCode !== null) throw new Error(`the child ended with ${child.exitCode}`)
      await sleep(10)
    }
    return { child, port, output }
  }

  async function exchange(socket: Socket, message: string): Promise<string> {
    socket.write(message)
    let answer = ""
    while (answer.length < message.length) answer += (await once(socket, "data"))[0]
    return answer
  }

  it("is served, and closed on request", async () => {
    const { child, port } = await serve(256)
    const sockets = Array.from({ length: 50 }, () => createConnection(port, "127.0.0.1"))
    const answers = await Promise.all(sockets.map((socket, i) => exchange(socket, `hello ${i}`)))
    expect(answers).toEqual(sockets.map((_, i) => `hello ${i}`))
    const exited = once(child, "exit")
    await exchange(sockets[0] as Socket, "close")
    for (const socket of sockets) socket.destroy()
    expect((await exited)[0]).toBe(0)
  })

  it("keeps connections waiting while descriptors are short, and takes them later", async () => {
    const { child, port, output } = await serve(40)
    const sockets = Array.from({ length: 60 }, () => createConnection(port, "127.0.0.1"))
    const answers = sockets.map((socket, i) => exchange(socket, `hello ${i}`))
    while (!output.includes("EMFILE")) await sleep(10)
    // Each one that has its answer makes room for another, whichever came first.
    await Promise.all(
      answers.map(async (answer, i) => {
        expect(await answer).toBe(`hello ${i}`)
        sockets[i]?.destroy()
      }),
    )
    child.kill()
    await once(child, "exit")
  })
})
