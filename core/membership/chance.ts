/** Chance from given bytes: the same bytes are the same choices. Nothing here is secret for longer than it takes to act on it. */

export class Chance {
  #state: number

  /** @param seed  four bytes or more */
  constructor(seed: Uint8Array) {
    const [a = 1, b = 2, c = 3, d = 4] = seed
    this.#state = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0
  }

  /** 0..bound-1, by mulberry32 (Tommy Ettinger). */
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }

  /** In place (Fisher and Yates). */
  shuffle<T>(items: T[]): void {
    for (let last = items.length - 1; last > 0; last -= 1) {
      const other = this.below(last + 1)
      const [a, b] = [items[last], items[other]]
      if (a !== undefined && b !== undefined) [items[last], items[other]] = [b, a]
    }
  }
}
