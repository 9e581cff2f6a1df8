/**
 * Runs under interpose.c: the NSM device and AF_VSOCK connections with a driver and a network that
 * are not there. Prints one JSON object.
 */

import { readdirSync } from "node:fs"
import { text } from "node:stream/consumers"
import {
  connectVsock,
  isAddonError,
  listenVsock,
  openNsmDevice,
  type SocketStream,
  VMADDR_PORT_ANY,
} from "../../../native/addon/index.js"

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return "no error"
  } catch (error) {
    return isAddonError(error) ? error.code : String(error)
  }
}

async function nsm(): Promise<Record<string, unknown>> {
  const device = openNsmDevice("/dev/null")
  const reversed = await device.transact(Buffer.from("rabc"))
  const largest = await device.transact(Buffer.alloc(0x1000, "r"))
  const many = await Promise.all(
    Array.from({ length: 8 }, (_, i) => device.transact(Buffer.from(`r${i}`))),
  )
  const most = await device.transact(Buffer.from("m"))
  const full = await codeOf(device.transact(Buffer.from("f")))
  const almostFull = await device.transact(Buffer.from("b"))
  const timedOut = await codeOf(device.transact(Buffer.from("t")))
  const inFlight = device.transact(Buffer.from("rlast"))
  await new Promise((resolve) => setImmediate(resolve))
  device.close()
  return {
    reversed: Buffer.from(reversed).toString(),
    largest: largest.length,
    many: many.map((answer) => Buffer.from(answer).toString()).join(""),
    mostAtOnce: most[0],
    full,
    almostFull: almostFull.length,
    timedOut,
    inFlightAtClose: Buffer.from(await inFlight).toString(),
    afterClose: await codeOf(device.transact(Buffer.from("r"))),
  }
}

const openDescriptors = () => readdirSync("/proc/self/fd").length

async function vsock(): Promise<Record<string, unknown>> {
  process.stdout.uncork() // Node opens a descriptor of its own with it, which must not count
  const before = openDescriptors()
  const peers: { cid: number; port: number }[] = []
  const accepted: SocketStream[] = []
  const server = await listenVsock({ port: VMADDR_PORT_ANY }, (stream, peer) => {
    peers.push(peer)
    accepted.push(stream)
    stream.pipe(stream)
  })
  const stream = await connectVsock({ cid: 3, port: server.port, allowHalfOpen: true })
  stream.end("over there and back")
  const echoed = await text(stream)
  const several = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const one = await connectVsock({ cid: 3, port: server.port, allowHalfOpen: true })
      one.end(`${i}`)
      return (await text(one)) === `${i}`
    }),
  )
  for (const one of accepted) one.destroy()
  await server.close()
  const refused = await codeOf(connectVsock({ cid: 3, port: server.port }))
  return {
    echoed,
    several: several.every(Boolean),
    accepted: accepted.length,
    cid: peers[0]?.cid,
    peerPort: (peers[0]?.port ?? 0) > 0,
    refused,
    silent: await codeOf(connectVsock({ cid: 7, port: 1, timeoutMs: 50 })),
    descriptorsLeft: openDescriptors() - before,
    badCid: await codeOf(connectVsock({ cid: -1, port: 1 })),
    badPort: await codeOf(connectVsock({ cid: 3, port: 1.5 })),
  }
}

// nsm() comes first: it fails unless the interposer is there, and then nothing is connected.
const nsmResults = await nsm()
const vsockResults = await vsock()
process.stdout.write(JSON.stringify({ nsm: nsmResults, vsock: vsockResults }))
