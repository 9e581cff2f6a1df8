/**
 * How Node.js is started in an enclave, whose memory the parent instance has to give up. Dockerfile.enclave says
 * the same in its `ENV` and `CMD`, which are measured; the simulator starts its enclaves by this.
 */

/**
 * Bringing a token in leaves some hundred KiB of garbage behind. V8 lets its young generation grow to 48 MiB before
 * it minds, which stay resident; what lives longer than a request is less than 2 MiB.
 */
export const RUNTIME_FLAGS: readonly string[] = ["--max-semi-space-size=2"]

/**
 * glibc hands freed memory back only beyond a threshold that follows the largest block freed so far, up to 64 MiB in
 * every arena. One that is set stays as it is.
 *
 * @see mallopt(3), M_TRIM_THRESHOLD; 128 KiB is its first value
 */
export const RUNTIME_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_TRIM_THRESHOLD_: "131072",
}
