/** One open call: it ends by an answer, its deadline, the caller's signal or the close of either side, whichever is first. */
import { FabricError } from '../../core/errors.ts'
import type { CallOptions, Clock } from '../runtime/ports.ts'

/** An abort without a reason would make an error of its own, stack and all, for every call that ends. */
const OVER = new FabricError('CF_MESH_STREAM_BROKEN', { reason: 'call_over' })

export class Call {
  readonly #caller = new AbortController()
  readonly #handler = new AbortController()
  readonly #timer = new AbortController()
  readonly #ends: (() => void)[] = []
  #open = true

  constructor(options: CallOptions, clock: Clock) {
    const { deadlineMs, signal } = options
    const expire = (): void => this.fail(new FabricError('CF_MESH_DEADLINE', { deadlineMs }))
    clock.sleep(deadlineMs, this.#timer.signal).then(expire, () => {})
    if (signal === undefined) return
    const stop = (): void => this.fail(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    this.onEnd(() => signal.removeEventListener('abort', stop))
    if (signal.aborted) stop()
  }

  /** Aborts when the call fails; its reason is what the caller gets. */
  get signal(): AbortSignal {
    return this.#caller.signal
  }

  /** What the other side's handler gets: it sees that the call is over, never the caller's own reason. */
  get handlerSignal(): AbortSignal {
    return this.#handler.signal
  }

  get open(): boolean {
    return this.#open
  }

  onEnd(work: () => void): void {
    this.#ends.push(work)
  }

  fail(reason: unknown): void {
    if (!this.#open) return
    this.#handler.abort(reason instanceof FabricError ? reason : new FabricError('CF_MESH_STREAM_BROKEN'))
    this.#caller.abort(reason)
    this.end()
  }

  /** Lets go of timers and listeners; what comes later is too late. */
  end(): void {
    if (!this.#open) return
    this.#open = false
    this.#timer.abort(OVER)
    for (const work of this.#ends) work()
  }

  /** @throws the reason of the failure when it comes before the result */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = (): void => reject(this.signal.reason)
      if (this.signal.aborted) stop()
      this.signal.addEventListener('abort', stop, { once: true })
      work.then(resolve, reject)
    })
  }
}
