/** Messages between simulated peers: each is late, some are lost, nothing arrives twice. */
import type { SimulationRequest } from '../runtime/simulation.ts'
import type { Prng } from './prng.ts'
import type { Scheduler } from './scheduler.ts'

/** Answers a request, now or later or never. */
export type Handler<T> = (reply: (answer: T) => void) => void

const LOSS_SCALE = 1_000_000

export class Network {
  messages = 0
  lost = 0
  readonly #scheduler: Scheduler
  readonly #prng: Prng
  readonly #meanMs: number
  readonly #jitterMs: number
  readonly #lossPpm: number

  constructor(scheduler: Scheduler, prng: Prng, { latency, loss }: Pick<SimulationRequest, 'latency' | 'loss'>) {
    this.#scheduler = scheduler
    this.#prng = prng
    this.#meanMs = latency.meanMs
    this.#jitterMs = latency.jitterMs
    this.#lossPpm = Math.round(loss * LOSS_SCALE)
  }

  /** One way; @returns whether it will arrive */
  send(arrive: () => void): boolean {
    this.messages += 1
    if (this.#prng.below(LOSS_SCALE) < this.#lossPpm) {
      this.lost += 1
      return false
    }
    this.#scheduler.after(this.#meanMs - this.#jitterMs + this.#prng.below(2 * this.#jitterMs + 1), arrive)
    return true
  }

  /**
   * There and back.
   *
   * @param timeoutMs  the caller hears nothing later than this
   * @param done       called once: with the answer, or without when none came in time
   */
  request<T>(handler: Handler<T>, timeoutMs: number, done: (answer: T | undefined) => void): void {
    let waiting = true
    const end = (answer: T | undefined): void => {
      if (!waiting) return
      waiting = false
      this.#scheduler.cancel(timer)
      done(answer)
    }
    const timer = this.#scheduler.after(timeoutMs, () => end(undefined))
    this.send(() => handler((answer) => this.send(() => end(answer))))
  }
}
