/** Addresses where nobody answers, in the two ways that there are. */
import { type AddressInfo, createServer, type Socket } from "node:net"

/** An address where nobody listens. */
export async function closedAddress(): Promise<string> {
  const silent = await openSilentServer()
  await silent.close()
  return silent.url
}

/** A server that accepts connections and says nothing. */
export async function openSilentServer(): Promise<{ url: string; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const close = () =>
    new Promise<void>((resolve) => {
      for (const socket of sockets) socket.destroy()
      server.close(() => resolve())
    })
  return { url: `http://127.0.0.1:${port}`, close }
}
