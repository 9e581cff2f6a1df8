/** Listens as `shared/transport` does, and hands connections out as descriptors: who serves them owns them. */
import { unlink } from "node:fs/promises"
import { acceptFd, bindUnix, bindVsock, closeDescriptor } from "../../native/addon/index.js"
import type { Address } from "../../shared/address.js"
import type { Listener } from "../../shared/transport/transport.js"
import { clearUnixPath, openToAll } from "../../shared/transport/unix.js"

/**
 * Listens on an address, with the meanings of `listen`.
 *
 * @param onConnection - receives the descriptor of each connection, non-blocking, its own to close
 * @throws CodedError `address-in-use`; AddonError
 */
export async function listenDescriptors(
  address: Address,
  onConnection: (fd: number) => void,
): Promise<Listener> {
  if (address.kind === "vsock") {
    return accept(bindVsock(address.cid, address.port).fd, onConnection)
  }
  const path = address.kind === "unix" ? address.path : `${address.path}_${address.port}`
  await clearUnixPath(path)
  const fd = bindUnix(path)
  try {
    await openToAll(path)
  } catch (error) {
    closeDescriptor(fd)
    throw error
  }
  const listener = accept(fd, onConnection)
  return {
    close: async () => {
      await listener.close()
      await unlink(path).catch(() => {})
    },
  }
}

function accept(fd: number, onConnection: (fd: number) => void): Listener {
  try {
    return acceptFd(fd, onConnection)
  } catch (error) {
    closeDescriptor(fd)
    throw error
  }
}
