/** AF_VSOCK in the shape that the transports of both sides take. */
import type { Duplex } from "node:stream"
import { connectVsock, listenVsock } from "./vsock.js"

export const vsockTransport = {
  connect: (peer: { cid: number; port: number; timeoutMs: number }): Promise<Duplex> =>
    connectVsock(peer),
  /** Listens on every CID of this machine. */
  listen: (
    port: number,
    onConnection: (stream: Duplex) => void,
  ): Promise<{ close(): Promise<void> }> => listenVsock({ port }, onConnection),
}
