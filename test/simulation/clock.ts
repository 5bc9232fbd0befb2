/** A node's wall clock: the scheduler's time and an error of its own, which a fault may move either way. */
import type { Scheduler } from '../../node/simulation/scheduler.ts'

export class NodeClock {
  offsetMs = 0
  readonly #scheduler: Scheduler

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
  }

  nowMs(): number {
    return this.#scheduler.nowMs + this.offsetMs
  }
}
