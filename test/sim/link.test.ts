/** A link that is cut refuses or hangs, ends what is under way, and carries again once it is mended. */
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import { afterEach, beforeEach, expect, test } from "vitest"
import { Link } from "../../sim/testbed/link.js"

let echo: Server
let link: Link
const sockets: Socket[] = []
beforeEach(async () => {
  echo = createServer((socket) => {
    sockets.push(socket)
    socket.on("error", () => {})
    socket.pipe(socket)
  }).listen(0, "127.0.0.1")
  await once(echo, "listening")
  link = await Link.to((echo.address() as AddressInfo).port)
})
afterEach(async () => {
  await link.stop()
  for (const socket of sockets.splice(0)) socket.destroy()
  echo.close()
})

function open(): Socket {
  const socket = connect(link.port, "127.0.0.1")
  socket.on("error", () => {})
  sockets.push(socket)
  return socket
}

async function echoed(socket: Socket): Promise<string> {
  socket.write("hello")
  const [bytes] = (await once(socket, "data")) as [Buffer]
  return bytes.toString()
}

test("carries bytes both ways", async () => {
  expect(await echoed(open())).toBe("hello")
})

test("cut: what is under way ends, connections are refused until it is mended", async () => {
  const before = open()
  expect(await echoed(before)).toBe("hello")
  const [closed] = [once(before, "close"), await link.cut()]
  await closed
  const [error] = (await once(open(), "error")) as [NodeJS.ErrnoException]
  expect(error.code).toBe("ECONNREFUSED")
  const { port } = link
  await link.mend()
  expect(link.port).toBe(port)
  expect(await echoed(open())).toBe("hello")
})

test("cut in silence: connections are taken, and nothing comes back until it is mended", async () => {
  await link.cut("silent")
  const waiting = open()
  await once(waiting, "connect")
  waiting.write("hello")
  const answered = once(waiting, "data").then(() => "answered")
  const later = new Promise((resolve) => setTimeout(() => resolve("silent"), 200))
  expect(await Promise.race([answered, later])).toBe("silent")
  const closed = once(waiting, "close")
  await link.mend()
  await closed
  expect(await echoed(open())).toBe("hello")
})
