/** Tells the tails of a region log in etcd that the head has moved: by a watch on it, and by the clock where a watch is silent. */
import type { Clock } from '../runtime/ports.ts'
import type { EtcdClient } from './region-log-etcd-client.ts'

/** A tail looks for itself this often: a member that has gone silently rings no bell. */
const POLL_MS = 1_000
const RETRY_MS = 200

export class EtcdBell {
  readonly #client: EtcdClient
  readonly #clock: Clock
  readonly #key: string
  readonly #closing = new AbortController()
  readonly #waiting = new Set<() => void>()
  #watching: AbortController | undefined
  #tailCount = 0
  #ringCount = 0

  constructor(key: string, client: EtcdClient, clock: Clock) {
    this.#key = key
    this.#client = client
    this.#clock = clock
  }

  get closed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Grows with every ring: a reader compares it to know that nothing rang while it read. */
  get rings(): number {
    return this.#ringCount
  }

  /** The watch runs as long as somebody tails. */
  attach(): void {
    this.#tailCount += 1
    if (this.#watching !== undefined) return
    this.#watching = new AbortController()
    void this.#watch(AbortSignal.any([this.#watching.signal, this.#closing.signal]))
  }

  detach(): void {
    this.#tailCount -= 1
    if (this.#tailCount > 0) return
    this.#watching?.abort()
    this.#watching = undefined
  }

  ring(): void {
    this.#ringCount += 1
    for (const wake of [...this.#waiting]) wake()
  }

  /** Waits for a ring after `rings`, the poll interval, the signal or the end, whichever is first. */
  async wait(rings: number, signal: AbortSignal): Promise<void> {
    if (rings !== this.#ringCount) return
    const rung = new AbortController()
    const wake = (): void => rung.abort()
    this.#waiting.add(wake)
    const until = AbortSignal.any([rung.signal, signal, this.#closing.signal])
    await this.#clock.sleep(POLL_MS, until).catch(() => {})
    this.#waiting.delete(wake)
  }

  close(): void {
    this.#closing.abort()
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const _change of this.#client.watch(this.#key, signal)) this.ring()
      } catch {
        // Made again, at another member; the poll bridges the gap.
      }
      await this.#clock.sleep(RETRY_MS, signal).catch(() => {})
    }
  }
}
