/** The VMM's side of the boot heartbeat: what stands for port 9000 of the parent at one boot. */
import { createServer, type Server } from "node:net"
import { HEARTBEAT } from "../boot.js"
import { listenAtSocket } from "../lifecycle.js"

/** Waits for one enclave's heartbeat. */
export interface HeartbeatListener {
  /** Settles when the byte came and was answered. */
  beaten: Promise<void>
  close(): void
}

/** Listens at `path` before the enclave is started. */
export async function listenForHeartbeat(path: string): Promise<HeartbeatListener> {
  let settle: () => void = () => {}
  const beaten = new Promise<void>((resolve) => {
    settle = resolve
  })
  const server: Server = createServer((socket) => {
    socket.on("error", () => socket.destroy())
    socket.once("data", (bytes) => {
      if (bytes[0] !== HEARTBEAT) return socket.destroy()
      socket.end(Uint8Array.of(HEARTBEAT), settle)
      return undefined
    })
  })
  await listenAtSocket(server, path)
  return { beaten, close: () => server.close() }
}
