/** The relay carries bytes both ways and counts round trips, whatever pieces requests come in. */
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { connect, createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { CountingRelay } from "../../bench/measure/counting-relay.js"

let dir: string
let service: Server
let relay: CountingRelay
const clients: Socket[] = []

/** Answers each line in two pieces. */
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "relay-"))
  service = createServer((socket) => {
    let text = ""
    socket.on("error", () => {})
    socket.on("data", (chunk) => {
      text += chunk
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const line = text.slice(0, end)
        text = text.slice(end + 1)
        socket.write(`<${line}`)
        socket.write(">\n")
      }
    })
  }).listen(join(dir, "service.sock"))
  await once(service, "listening")
  relay = await CountingRelay.start(join(dir, "relay.sock"), join(dir, "service.sock"))
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await relay.stop()
  service.close()
  await rm(dir, { recursive: true })
})

async function open(): Promise<Socket> {
  const client = connect(join(dir, "relay.sock"))
  clients.push(client)
  client.on("error", () => {})
  await once(client, "connect")
  return client
}

async function ask(client: Socket, ...pieces: string[]): Promise<string> {
  let answer = ""
  const answered = new Promise<string>((resolve) => {
    const read = (chunk: Buffer) => {
      answer += chunk
      if (!answer.endsWith("\n")) return
      client.off("data", read)
      resolve(answer)
    }
    client.on("data", read)
  })
  for (const piece of pieces) {
    client.write(piece)
    // So that the pieces arrive by themselves.
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return answered
}

test("counts a request that is waited for once, in however many pieces", async () => {
  const client = await open()
  expect(await ask(client, "one\n")).toBe("<one>\n")
  expect(relay.roundTrips).toBe(1)
  expect(await ask(client, "t", "w", "o\n")).toBe("<two>\n")
  expect(relay.roundTrips).toBe(2)
})

test("adds up the connections", async () => {
  const [first, second] = [await open(), await open()]
  await ask(first, "a\n")
  await ask(second, "b\n")
  await ask(first, "c\n")
  expect(relay.roundTrips).toBe(3)
})

test("a connection that says nothing is no round trip, and its end is passed on", async () => {
  const client = await open()
  const gone = once(client, "close")
  service.close()
  client.end()
  await gone
  expect(relay.roundTrips).toBe(0)
})
