/** A clock that stands still until the test moves it. */
import type { Clock } from '../../node/runtime/ports.ts'

export type ManualClock = Clock & {
  /** Wakes every sleeper whose time has come, in order of time, and lets what it woke run. */
  advance(ms: number): Promise<void>
  /** Lengths of the sleeps that are under way, shortest rest first. */
  readonly sleeping: readonly number[]
}

type Sleeper = { readonly atMs: number; readonly ms: number; readonly wake: () => void }

export function manualClock(startMs: number): ManualClock {
  let nowMs = startMs
  const sleepers = new Set<Sleeper>()
  const byTime = () => [...sleepers].sort((a, b) => a.atMs - b.atMs)
  return {
    nowMs: () => nowMs,
    monotonicNs: () => BigInt(nowMs) * 1_000_000n,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const stop = (): void => {
          sleepers.delete(sleeper)
          reject(signal?.reason)
        }
        const wake = (): void => {
          signal?.removeEventListener('abort', stop)
          resolve()
        }
        const sleeper = { atMs: nowMs + ms, ms, wake }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', stop, { once: true })
      }),
    async advance(ms) {
      const end = nowMs + ms
      for (;;) {
        const [next] = byTime()
        if (next === undefined || next.atMs > end) break
        nowMs = Math.max(nowMs, next.atMs)
        sleepers.delete(next)
        next.wake()
        await settle()
      }
      nowMs = end
      await settle()
    },
    get sleeping() {
      return byTime().map(({ ms }) => ms)
    },
  }
}

/** Lets everything that waits for nothing but promises run. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
