/** A limit on waiting, by the injected clock. */
import type { Clock } from '../runtime/ports.ts'

export const LATE = Symbol('late')

/**
 * Waits for a promise, but not longer than `ms`.
 *
 * @returns  the value, or LATE
 * @throws   what the promise throws; the signal's reason when it aborts first
 */
export async function withinMs<T>(
  clock: Clock,
  ms: number,
  work: Promise<T>,
  signal?: AbortSignal,
): Promise<T | typeof LATE> {
  const done = new AbortController()
  const stop = signal === undefined ? done.signal : AbortSignal.any([signal, done.signal])
  try {
    return await Promise.race([work, clock.sleep(ms, stop).then((): typeof LATE => LATE)])
  } finally {
    done.abort()
  }
}
