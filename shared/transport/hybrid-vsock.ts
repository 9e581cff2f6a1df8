/**
 * Host side of a hybrid-vsock multiplexer: connect to its Unix socket, write `CONNECT <port>\n`, read
 * `OK <n>\n`, then the stream is raw.
 *
 * @see Firecracker, docs/vsock.md
 */
import type { Socket } from "node:net"
import { CodedError } from "../errors.js"
import { connectUnix } from "./unix.js"

/** "OK ", ten digits of a u32, the newline, and some slack. */
const MAX_ANSWER_BYTES = 32

/** Connects to a guest's port; see `connect` for the errors. */
export async function connectHybridVsock(
  peer: { path: string; port: number },
  timeoutMs: number,
): Promise<Socket> {
  const socket = await connectUnix(peer.path, timeoutMs)
  try {
    socket.write(`CONNECT ${peer.port}\n`)
    await readAnswer(socket, peer, timeoutMs)
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** Reads up to the newline, byte-exact: what follows belongs to the stream's next reader. */
function readAnswer(
  socket: Socket,
  peer: { path: string; port: number },
  timeoutMs: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0)
    const timer = setTimeout(
      () => fail("connection-timeout", `no answer to CONNECT in ${timeoutMs} ms`),
      timeoutMs,
    )
    const stop = (): void => {
      clearTimeout(timer)
      socket.pause()
      socket.off("data", onData).off("error", onGone).off("close", onGone)
    }
    const fail = (code: "connection-refused" | "connection-timeout", reason: string): void => {
      stop()
      reject(new CodedError(code, `${peer.path}: port ${peer.port}: ${reason}`))
    }
    const onGone = (): void => fail("connection-refused", "the multiplexer closed the connection")
    const onData = (chunk: Buffer): void => {
      answer = Buffer.concat([answer, chunk])
      const newline = answer.indexOf(0x0a)
      if (newline < 0 && answer.length <= MAX_ANSWER_BYTES) return
      if (newline < 0 || !/^OK [0-9]{1,10}$/.test(answer.toString("latin1", 0, newline))) {
        fail("connection-refused", "the multiplexer did not answer OK")
        return
      }
      stop()
      if (newline + 1 < answer.length) socket.unshift(answer.subarray(newline + 1))
      resolve()
    }
    socket.on("data", onData).once("error", onGone).once("close", onGone)
  })
}
