/** A hybrid-vsock multiplexer for tests: takes `CONNECT <port>\n` and does what a test tells it. */
import { createServer, type Socket } from "node:net"

export interface Multiplexer {
  /** What was read before the answer, one entry for each connection. */
  readonly requests: string[]
  close(): Promise<void>
}

/** Listens at `path`; `answer` gets each connection once its line is read. */
export async function startMultiplexer(
  path: string,
  answer: (socket: Socket, line: string) => void,
): Promise<Multiplexer> {
  const requests: string[] = []
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on("error", () => {}).once("close", () => open.delete(socket))
    let received = ""
    const onData = (chunk: Buffer): void => {
      received += chunk.toString("latin1")
      if (!received.includes("\n")) return
      socket.off("data", onData)
      requests.push(received)
      answer(socket, received)
    }
    socket.on("data", onData)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    requests,
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy()
        server.close(() => resolve())
      }),
  }
}
