/**
 * Serves a connection whose handler of the name in argv[2] throws. Writes what comes to
 * uncaughtException to stderr and ends with code 1; with `go-on` in argv[3] it goes on, until the
 * connection is closed.
 */

import {
  KeyDirectory,
  SigningService,
  socketPair,
  streamFromFd,
} from "../../../native/addon/index.js"
import { encodeFrame } from "../../../shared/frame.js"

const [, , thrower, goOn] = process.argv
process.on("uncaughtException", (error) => {
  process.stderr.write(`Uncaught: ${error.message}\n`)
  if (goOn === undefined) process.exit(1)
})

function told(handler: string): void {
  if (handler === thrower) throw new Error(`thrown in ${handler}`)
}

const service = new SigningService(new KeyDirectory(), { threads: 2, latencyBounds: [] })
const [ours, theirs] = socketPair()
const peer = streamFromFd(ours)
peer.on("error", () => undefined)
const channel = service.adopt(theirs, {
  payload: () => told("payload"),
  ended: () => {
    channel.close()
    told("ended")
  },
  closed: () => {
    told("closed")
    process.stdout.write("closed\n")
    service.stop()
  },
})
peer.write(Buffer.concat([encodeFrame(Buffer.from("one")), encodeFrame(Buffer.from("two"))]))
peer.end()
peer.resume()
