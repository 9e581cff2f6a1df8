/** PCR values as an enclave's start makes them, for simulated enclaves and for key policies. */
import { createHash } from "node:crypto"

/** Bytes of a SHA-384, and so of a PCR. */
export const PCR_BYTES = 48

/**
 * A PCR that was zero and extended once: SHA-384(0⁴⁸ ‖ data).
 *
 * @param data - What the PCR is extended with.
 */
export function pcrExtendedOnce(data: Uint8Array): Buffer {
  return sha384(Buffer.alloc(PCR_BYTES), data)
}

/**
 * PCR0, 1, 2 or 8: SHA-384(0⁴⁸ ‖ SHA-384(contents)).
 *
 * @param contents - The measured sections, concatenated in their order.
 */
export function pcrOfImage(...contents: Uint8Array[]): Buffer {
  return pcrExtendedOnce(sha384(...contents))
}

/** PCR3, of the IAM role that the parent instance has. */
export function pcr3OfRole(roleArn: string): Buffer {
  return pcrExtendedOnce(Buffer.from(roleArn, "ascii"))
}

/** PCR4, of the parent instance. */
export function pcr4OfInstance(instanceId: string): Buffer {
  return pcrExtendedOnce(Buffer.from(instanceId, "ascii"))
}

/** A PCR's next value: SHA-384(old ‖ data). */
export function extendedPcr(old: Uint8Array, data: Uint8Array): Buffer {
  return sha384(old, data)
}

function sha384(...parts: Uint8Array[]): Buffer {
  const hash = createHash("sha384")
  for (const part of parts) hash.update(part)
  return hash.digest()
}
