/**
 * Where the kernel's random numbers come from: an enclave has no other good source than the NSM, and
 * keys for KMS's answers and TLS's are made of them.
 *
 * @see linux, Documentation/admin-guide/hw_random.rst; drivers/misc/nsm.c
 */
import { readFile } from "node:fs/promises"
import { CodedError } from "../../shared/errors.js"

export type EntropyErrorCode = "entropy-source"

/** The hardware generator that feeds the kernel, by the name of its driver. */
const CURRENT_HWRNG = "/sys/class/misc/hw_random/rng_current"
/** The name under which the NSM's driver registers. */
const NSM_HWRNG = "nsm-hwrng"

/**
 * Requires that the kernel's current hardware random number generator is the NSM's.
 *
 * @throws CodedError `entropy-source` if it is another one, none, or cannot be told.
 */
export async function requireNsmEntropy(file = CURRENT_HWRNG): Promise<void> {
  const current = (await readOrRefuse(file)).trim()
  if (current === NSM_HWRNG) return
  throw new CodedError<EntropyErrorCode>(
    "entropy-source",
    `the kernel's random numbers come from ${JSON.stringify(current)}, not from ${NSM_HWRNG}`,
  )
}

async function readOrRefuse(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8")
  } catch (cause) {
    throw new CodedError<EntropyErrorCode>(
      "entropy-source",
      "the kernel does not tell where its random numbers come from",
      { cause },
    )
  }
}
