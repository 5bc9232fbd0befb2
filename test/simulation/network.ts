/** Messages between nodes, and everything that may happen to them: drop, duplicate, delay, reorder, partition. */

import type { Prng } from '../../node/simulation/prng.ts'
import type { Scheduler } from '../../node/simulation/scheduler.ts'
import type { Coverage } from './coverage.ts'
import type { Trace } from './trace.ts'

export type Message = {
  /** Names the request that a reply belongs to. */
  readonly id: number
  readonly from: string
  readonly to: string
  readonly kind: 'request' | 'reply' | 'refusal' | 'news'
  readonly type: string
  readonly text: string
  readonly parts: readonly Uint8Array[]
}

export type NetworkFaults = {
  readonly dropPermille: number
  readonly duplicatePermille: number
  /** A slow message overtakes nothing and is overtaken by many. */
  readonly slowPermille: number
  readonly delayMsMax: number
  readonly slowMsMax: number
}

export const CALM: NetworkFaults = {
  dropPermille: 0,
  duplicatePermille: 0,
  slowPermille: 0,
  delayMsMax: 5,
  slowMsMax: 5,
}

export class Network {
  faults: NetworkFaults = CALM
  readonly #parts: {
    readonly scheduler: Scheduler
    readonly prng: Prng
    readonly coverage: Coverage
    readonly trace: Trace
  }
  readonly #deliver: (message: Message) => void
  /** Names on one side of a partition; everybody else is on the other. */
  #side: ReadonlySet<string> | undefined
  /** `from>to` pairs that lose everything, in that direction only. */
  readonly #cuts = new Set<string>()

  constructor(
    parts: { readonly scheduler: Scheduler; readonly prng: Prng; readonly coverage: Coverage; readonly trace: Trace },
    deliver: (message: Message) => void,
  ) {
    this.#parts = parts
    this.#deliver = deliver
  }

  partition(side: readonly string[]): void {
    this.#side = new Set(side)
  }

  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`)
  }

  heal(): void {
    this.#side = undefined
    this.#cuts.clear()
  }

  send(message: Message) {
    const { prng, coverage, trace } = this.#parts
    const { faults } = this
    trace.mix(message.id)
    coverage.count('messages')
    if (this.#isCut(message)) return coverage.count('message lost in a partition')
    if (prng.chance(faults.dropPermille)) return coverage.count('message dropped')
    this.#schedule(message)
    if (prng.chance(faults.duplicatePermille)) {
      coverage.count('message duplicated')
      this.#schedule(message)
    }
  }

  #schedule(message: Message): void {
    const { scheduler, prng, coverage } = this.#parts
    const isSlow = prng.chance(this.faults.slowPermille)
    if (isSlow) coverage.count('message delayed')
    const delayMs = prng.between(1, isSlow ? this.faults.slowMsMax : this.faults.delayMsMax)
    scheduler.after(delayMs, () => {
      // A partition that began while the message was under way stops it too.
      if (this.#isCut(message)) coverage.count('message lost in a partition')
      else this.#deliver(message)
    })
  }

  #isCut({ from, to }: Message): boolean {
    if (this.#side !== undefined && this.#side.has(from) !== this.#side.has(to)) return true
    return this.#cuts.size > 0 && this.#cuts.has(`${from}>${to}`)
  }
}
