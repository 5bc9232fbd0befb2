/** What did not hold in a simulation, as a list: one broken rule must not hide the next. */
import { SIMULATION_LIMITS, type Violation } from '../runtime/simulation.ts'

export class Violations {
  readonly items: Violation[] = []
  leftOut = 0
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** @param rule  a literal of the code, so that a planted bug is known to be found by the right checker */
  found(rule: string, detail: string): void {
    if (this.items.length < SIMULATION_LIMITS.violationsShownMax) this.items.push({ rule, detail, atMs: this.#nowMs() })
    else this.leftOut += 1
  }
}
