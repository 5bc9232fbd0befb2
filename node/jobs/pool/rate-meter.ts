/** How many of something happened a second, of late. */

const SECOND_MS = 1_000
/** What lies further back is forgotten. */
const WINDOW_SECONDS = 10
/** Work of so long counts in the pace as much as all that was before it. */
const PACE_MS = 10_000
/** With fewer a pace says more of the moment than of the machine. */
const PACE_COUNT_MIN = 8

export class RateMeter {
  readonly #counts = new Array<number>(WINDOW_SECONDS).fill(0)
  readonly #nowMs: () => number
  #second = 0
  #sinceMs = 0
  /** Undefined while nothing is at work. */
  #reportedMs: number | undefined
  #busyMs = 0
  #busyCount = 0

  /** @param nowMs  of a clock that never goes back */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  add(count: number): void {
    const nowMs = this.#nowMs()
    this.#step(count, nowMs)
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

  /** Nothing is at work: the time until it next happens is no part of the pace. */
  rest(): void {
    this.#reportedMs = undefined
  }

  /** How many a second while at work, of late; unlike the rate it stays when work ends. 0 before there is enough to tell. */
  get pace(): number {
    if (this.#busyCount < PACE_COUNT_MIN || this.#busyMs <= 0) return 0
    return (this.#busyCount * SECOND_MS) / this.#busyMs
  }

  /** The first after a rest counts for nothing: nobody knows what of the time before it was waiting. */
  #step(count: number, nowMs: number): void {
    if (this.#reportedMs !== undefined) {
      this.#busyMs += nowMs - this.#reportedMs
      this.#busyCount += count
    }
    this.#reportedMs = nowMs
    if (this.#busyMs <= PACE_MS) return
    this.#busyMs /= 2
    this.#busyCount /= 2
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
