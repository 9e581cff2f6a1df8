/** Waiting that ends when a signal or a clock says so, whatever the work waited for goes on to do. */

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

/**
 * Does `work` under a signal that aborts as `signal` does, or with a TimeoutError after `timeoutMs`,
 * and waits no longer than that. Not by AbortSignal.any: Node 20 may collect a time-out in it, which
 * then never comes.
 */
export async function withDeadline<T>(
  timeoutMs: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const either = new AbortController()
  const follow = () => either.abort(signal?.reason)
  if (signal?.aborted) follow()
  else signal?.addEventListener("abort", follow, { once: true })
  const late = () => either.abort(new DOMException(`not within ${timeoutMs} ms`, "TimeoutError"))
  const timer = setTimeout(late, timeoutMs)
  try {
    return await abortable(work(either.signal), either.signal)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener("abort", follow)
  }
}
