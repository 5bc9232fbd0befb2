/** One signal that follows several. */

export type LinkedSignal = {
  readonly signal: AbortSignal
  /** Aborts it alone; also lets go of the signals that it follows, so it must be called in the end. */
  readonly abort: () => void
}

/**
 * Why not AbortSignal.any: its signals look through all that they follow whenever they are asked, and each is asked with every token of
 * every client.
 */
export function linkedSignal(...followed: readonly AbortSignal[]): LinkedSignal {
  const controller = new AbortController()
  const stops = followed.map((signal) => {
    const stop = (): void => controller.abort(signal.reason)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    return () => signal.removeEventListener('abort', stop)
  })
  const abort = (): void => {
    for (const release of stops) release()
    controller.abort()
  }
  return { signal: controller.signal, abort }
}
