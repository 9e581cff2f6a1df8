/** The parent's side of the way to KMS, for tests: a byte relay to a TCP port of this machine. */
import { createConnection } from "node:net"
import type { Duplex } from "node:stream"
import { CodedError } from "../../shared/errors.js"

/** Opens a stream to a local TCP port, as a relay that only passes bytes on does. */
export function relayTo(port: () => number): () => Promise<Duplex> {
  return () =>
    new Promise((resolve, reject) => {
      const socket = createConnection({ host: "127.0.0.1", port: port() })
      socket.once("error", (cause) =>
        reject(new CodedError("connection-refused", "no relay", { cause })),
      )
      socket.once("connect", () => {
        socket.removeAllListeners("error").on("error", () => {})
        resolve(socket)
      })
    })
}
