/** The byte-level interface of the Nitro Secure Module, and its limits. */

/** Largest request that the driver takes, in bytes (linux, drivers/misc/nsm.c). */
export const MAX_REQUEST_BYTES = 0x1000
/** Largest response that it returns, in bytes; a longer one is cut without notice. */
export const MAX_RESPONSE_BYTES = 0x3000

/** `/dev/nsm`, or what stands for it in simulation. */
export interface NsmDevice {
  /**
   * Sends one CBOR request and resolves with its CBOR response. The driver serves one caller at a
   * time; more may wait.
   *
   * @throws a system error: EMSGSIZE for a request too long, ETIMEDOUT for no answer in 120 s.
   */
  transact(request: Uint8Array): Promise<Uint8Array>
  close(): void
}
