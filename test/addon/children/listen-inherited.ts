/**
 * Serves the listening socket inherited as descriptor 3: echoes each connection, and ends when one
 * sends "close". Prints the codes of accept() failures as it goes.
 */

import { listenFd } from "../../../native/addon/index.js"

const server = listenFd(
  3,
  (stream, peer) => {
    if (peer !== null) process.exitCode = 1
    stream.on("error", () => undefined)
    stream.on("data", (data: Buffer) => {
      if (data.toString() === "close") void server.close()
      if (!stream.write(data)) {
        stream.pause()
        stream.once("drain", () => stream.resume())
      }
    })
  },
  { onError: (error) => process.stdout.write(`${error.code}\n`) },
)
process.stdout.write("ready\n")
