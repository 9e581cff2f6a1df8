/** A stream socket of any family as a Node Duplex, with the manners of net.Socket. */

import { Duplex } from "node:stream"
import { AddonError } from "./addon-error.js"
import { binding, type NativeStreamSocket } from "./binding.js"

export interface SocketStreamOptions {
  /**
   * Whether writing stays possible after the peer has ended its side; without it, the stream then
   * ends its own. Default false, as with net.Socket.
   */
  readonly allowHalfOpen?: boolean
}

/** Chunks handed to the kernel in one go; more are queued. */
interface QueuedChunk {
  readonly chunk: unknown
  readonly encoding: BufferEncoding
}

/**
 * A socket that this stream owns. `end()` shuts down the sending side; the peer's end is `end`;
 * faults are `error` events with the errno's name as `code` (`ECONNRESET`, `EPIPE`); `destroy()`
 * closes the descriptor, once. Reading stops while the consumer lags, writing while the peer does.
 */
export class SocketStream extends Duplex {
  readonly #socket: NativeStreamSocket
  #written: ((error: Error | null) => void) | undefined

  /** Takes `fd` over, a connected or connecting stream socket, unless this throws. */
  constructor(fd: number, options: SocketStreamOptions = {}) {
    super({ allowHalfOpen: options.allowHalfOpen ?? false, decodeStrings: true })
    this.#socket = new binding.StreamSocket(
      fd,
      (error, chunk) => this.#onRead(error, chunk),
      (error) => this.#settleWrite(error),
    )
  }

  /** Resolves when the connect() in progress on the socket is done; the stream is unusable before. */
  connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      const closed = () => reject(new AddonError("ECANCELED", "connect: the socket was closed"))
      this.once("close", closed)
      this.#socket.connected((error) => {
        this.off("close", closed)
        if (error === null) resolve()
        else reject(error)
      })
    })
  }

  /** Lets the process end although this socket is open. */
  unref(): this {
    this.#socket.keepAlive(false)
    return this
  }

  /** Undoes {@link unref}. */
  ref(): this {
    this.#socket.keepAlive(true)
    return this
  }

  override _read(): void {
    this.#attempt(() => this.#socket.readStart())
  }

  override _write(
    chunk: unknown,
    encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this._writev([{ chunk, encoding }], callback)
  }

  override _writev(chunks: readonly QueuedChunk[], callback: (error?: Error | null) => void): void {
    let done: boolean
    try {
      done = this.#socket.write(chunks.map(({ chunk }) => chunk as Uint8Array))
    } catch (error) {
      callback(error as Error)
      return
    }
    if (done) callback()
    else this.#written = callback
  }

  override _final(callback: (error?: Error | null) => void): void {
    try {
      this.#socket.shutdown()
    } catch (error) {
      callback(error as Error)
      return
    }
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.close()
    this.#settleWrite(error ?? new AddonError("ECANCELED", "write: the socket was closed"))
    callback(error)
  }

  #onRead(error: AddonError | null, chunk: Uint8Array | null): void {
    if (error !== null) this.destroy(error)
    else if (!this.push(chunk) && chunk !== null) this.#attempt(() => this.#socket.readStop())
  }

  #settleWrite(error: Error | null): void {
    const callback = this.#written
    this.#written = undefined
    callback?.(error)
  }

  #attempt(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.destroy(error as Error)
    }
  }
}

/**
 * The stream of a connected stream socket of any family, which it takes over: nobody else may own
 * or close the descriptor.
 *
 * @throws {@link AddonError} `EBADF`, `ENOTSOCK`; the descriptor is then still the caller's.
 */
export function streamFromFd(fd: number, options?: SocketStreamOptions): SocketStream {
  return new SocketStream(fd, options)
}

/** Two connected AF_UNIX stream sockets, as descriptors. */
export function socketPair(): [number, number] {
  return binding.socketPair()
}
