/** A time limit for one test, because uvu has none: a test that waits for ever would only end with the limit of its file. */

/** A promise that rejects with the signal's reason once it is aborted; it never resolves. */
function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/**
 * Wraps an async test: the work gets a signal that is aborted when the time is up, and the test fails then.
 *
 * Why the signal is aborted also when the work has ended: whatever the test left behind under it (a loop, a stream) ends too.
 *
 * @param ms    limit of this one test
 * @param work  the test; pass its signal to all that waits
 */
export function within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): () => Promise<T> {
  return async () => {
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(new Error(`the test took longer than ${ms} ms`)), ms)
    const late = rejected(limit.signal)
    late.catch(() => undefined)
    try {
      return await Promise.race([work(limit.signal), late])
    } finally {
      clearTimeout(timer)
      limit.abort(new Error('the test has ended'))
    }
  }
}
