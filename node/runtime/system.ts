/** The real clock and the real source of chance: the only place that asks the operating system for either. */
import { randomBytes } from 'node:crypto'
import type { Clock, Random } from './ports.ts'

/** setTimeout takes a signed 32-bit number of milliseconds; more would fire at once. */
const TIMER_MS_MAX = 2_147_483_647

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicNs: () => process.hrtime.bigint(),
  async sleep(ms, signal) {
    for (let left = ms; left > 0 || left === ms; left -= TIMER_MS_MAX) await pause(Math.min(left, TIMER_MS_MAX), signal)
  },
}

export const systemRandom: Random = {
  bytes: (byteCount) => new Uint8Array(randomBytes(byteCount)),
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}
