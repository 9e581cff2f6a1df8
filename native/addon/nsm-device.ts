/** The Nitro Secure Module's device: sends CBOR requests, receives CBOR answers, reads neither. */

import { AddonError } from "./addon-error.js"
import { binding } from "./binding.js"

/** Longest request, in bytes (linux drivers/misc/nsm.c). */
export const NSM_REQUEST_MAX_SIZE = 0x1000

export type NsmDeviceErrorCode =
  | "request-len-range"
  | "device-closed"
  /** The answer fills the whole 0x3000-byte buffer: the driver may have cut it without a word. */
  | "response-truncated"

export interface NsmDevice {
  /**
   * Sends one request and waits for its answer, off the event loop. The driver answers one caller
   * at a time and may take up to 120 s, so requests queue here and hold one pool thread between
   * them.
   *
   * @param request - CBOR, 1 to {@link NSM_REQUEST_MAX_SIZE} bytes; not changed before the answer.
   * @returns The answer, CBOR, below 0x3000 bytes. The NSM's own `{"Error": …}` is an answer.
   * @throws {@link AddonError} an {@link NsmDeviceErrorCode}, or `ETIMEDOUT`, `EMSGSIZE`, `ENOTTY`
   *   (not an NSM) and other names of errno. Not retried: a request may have taken effect.
   */
  transact(request: Uint8Array): Promise<Uint8Array>
  /** Refuses new requests; the device is closed once the one in flight has ended. */
  close(): void
}

/**
 * Opens the NSM.
 *
 * @throws {@link AddonError} `ENOENT` (not in an enclave), `EACCES`.
 */
export function openNsmDevice(path = "/dev/nsm"): NsmDevice {
  const device = new binding.NsmDevice(path)
  let last: Promise<unknown> = Promise.resolve()
  const send = (request: Uint8Array) =>
    new Promise<Uint8Array>((resolve, reject) => {
      device.transact(request, (error, response) =>
        error === null ? resolve(response) : reject(error),
      )
    })
  return {
    transact(request) {
      if (request.length < 1 || request.length > NSM_REQUEST_MAX_SIZE) {
        const message = `a request has 1 to ${NSM_REQUEST_MAX_SIZE} bytes`
        return Promise.reject(new AddonError<NsmDeviceErrorCode>("request-len-range", message))
      }
      const answer = last.then(() => send(request))
      last = answer.catch(() => undefined)
      return answer
    },
    close() {
      device.close()
    },
  }
}
