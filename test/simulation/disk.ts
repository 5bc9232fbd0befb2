/** A node's disk: a write is volatile until its sync, and a crash loses what was not synced, or keeps a part that nobody was told of. */

import type { Prng } from '../../node/simulation/prng.ts'
import type { Scheduled, Scheduler } from '../../node/simulation/scheduler.ts'
import type { Coverage } from './coverage.ts'

/** Empty bytes delete the row. */
export type Row = readonly [key: string, bytes: Uint8Array]
type Pending = { readonly rows: readonly Row[]; readonly sync: Scheduled }

export class Disk {
  /** Longest sync; a fault raises it. */
  syncMsMax = 4
  readonly #scheduler: Scheduler
  readonly #prng: Prng
  readonly #coverage: Coverage
  readonly #durable = new Map<string, Uint8Array>()
  #pending: readonly Pending[] = []
  #busyUntilMs = 0

  constructor(scheduler: Scheduler, prng: Prng, coverage: Coverage) {
    this.#scheduler = scheduler
    this.#prng = prng
    this.#coverage = coverage
  }

  get(key: string): Uint8Array | undefined {
    return this.#durable.get(key)
  }

  /** Durable rows whose key starts so, in key order. */
  rows(prefix: string): readonly Row[] {
    return [...this.#durable].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** Writes become durable in order, all rows of one call at once. */
  write(rows: readonly Row[], synced: () => void): void {
    const { nowMs } = this.#scheduler
    const atMs = Math.max(nowMs, this.#busyUntilMs) + this.#prng.between(1, this.syncMsMax)
    this.#busyUntilMs = atMs
    const sync = this.#scheduler.after(atMs - nowMs, () => {
      this.#pending = this.#pending.slice(1)
      this.#store(rows)
      synced()
    })
    this.#pending = [...this.#pending, { rows, sync }]
  }

  crash(): void {
    const keptCount = this.#prng.below(this.#pending.length + 1)
    for (const [place, { rows, sync }] of this.#pending.entries()) {
      this.#scheduler.cancel(sync)
      if (place < keptCount) this.#store(rows)
      this.#coverage.count(place < keptCount ? 'write kept by a crash, never acknowledged' : 'write lost by a crash')
    }
    this.#pending = []
    this.#busyUntilMs = 0
  }

  #store(rows: readonly Row[]): void {
    for (const [key, bytes] of rows) {
      if (bytes.length === 0) this.#durable.delete(key)
      else this.#durable.set(key, bytes)
    }
  }
}
