/** Lifeguard's local health: a node whose own probes and ticks go wrong doubts itself first and gives others more time. */

/** Accusations alone make nobody doubt itself further than this: else any peer could blind any other. */
const BLAMED_MAX = 2

export class Health {
  #score = 0
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  /** 0 is good health. */
  get score(): number {
    return this.#score
  }

  /** What every wait of this node's probes is stretched by. */
  get multiplier(): number {
    return 1 + this.#score
  }

  /** What its suspicions are stretched by: less, for they end with a probe that is stretched already. */
  get patience(): number {
    return 1 + this.#score / 2
  }

  better(): void {
    if (this.#score > 0) this.#score -= 1
  }

  worse(): void {
    if (this.#score < this.#max) this.#score += 1
  }

  blamed(): void {
    if (this.#score < BLAMED_MAX) this.#score += 1
  }
}
