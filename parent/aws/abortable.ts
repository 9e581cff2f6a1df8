/** Waiting that ends when a signal says so, whatever the work waited for goes on to do. */

/**
 * Settles as `work` does, or rejects with the signal's reason as soon as it aborts. The work itself
 * is not stopped, and a late failure of it is nobody's.
 */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  let onAbort = () => {}
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener("abort", onAbort, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener("abort", onAbort)
  }
}
