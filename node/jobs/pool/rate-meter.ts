/** How many of something happened a second, of late. */

const SECOND_MS = 1_000
/** What lies further back is forgotten. */
const WINDOW_SECONDS = 10

export class RateMeter {
  readonly #counts = new Array<number>(WINDOW_SECONDS).fill(0)
  readonly #nowMs: () => number
  #second = 0
  #sinceMs = 0

  /** @param nowMs  of a clock that never goes back */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  add(count: number): void {
    const nowMs = this.#nowMs()
    // After a pause of a whole window it begins anew: the pause is not part of the rate.
    if (this.#forget(nowMs)) this.#sinceMs = nowMs
    const place = this.#second % WINDOW_SECONDS
    this.#counts[place] = (this.#counts[place] ?? 0) + count
  }

  /** 0 when nothing happened within the window. */
  get perSecond(): number {
    const nowMs = this.#nowMs()
    this.#forget(nowMs)
    const sum = this.#counts.reduce((total, count) => total + count, 0)
    const spanMs = Math.min(WINDOW_SECONDS * SECOND_MS, nowMs - this.#sinceMs)
    return sum === 0 ? 0 : (sum * SECOND_MS) / Math.max(SECOND_MS, spanMs)
  }

  /** @returns whether nothing is left */
  #forget(nowMs: number): boolean {
    const second = Math.floor(nowMs / SECOND_MS)
    const steps = Math.min(WINDOW_SECONDS, second - this.#second)
    for (let step = 1; step <= steps; step += 1) this.#counts[(this.#second + step) % WINDOW_SECONDS] = 0
    if (steps === WINDOW_SECONDS) this.#counts.fill(0)
    this.#second = second
    return this.#counts.every((count) => count === 0)
  }
}
