/** Everything that happens in a simulation, in order of virtual time and then of scheduling: no promise, no thread, no real clock. */

export type Scheduled = { readonly atMs: number; readonly sequence: number; run: (() => void) | undefined }

export class Scheduler {
  nowMs: number
  /** Events run so far. */
  stepCount = 0
  readonly #heap: Scheduled[] = []
  #sequence = 0

  constructor(startMs: number) {
    this.nowMs = startMs
  }

  after(delayMs: number, run: () => void): Scheduled {
    this.#sequence += 1
    const scheduled: Scheduled = { atMs: this.nowMs + delayMs, sequence: this.#sequence, run }
    this.#push(scheduled)
    return scheduled
  }

  cancel(scheduled: Scheduled): void {
    scheduled.run = undefined
  }

  /** Runs events up to and including `untilMs`; `isDone` is asked before each. */
  runUntil(untilMs: number, isDone: () => boolean = () => false): void {
    while (!isDone()) {
      const [first] = this.#heap
      if (first === undefined || first.atMs > untilMs) break
      this.#pop()
      const { run } = first
      if (run === undefined) continue
      first.run = undefined
      this.nowMs = first.atMs
      this.stepCount += 1
      run()
    }
    if (!isDone() && this.nowMs < untilMs) this.nowMs = untilMs
  }

  #push(scheduled: Scheduled): void {
    const heap = this.#heap
    let place = heap.length
    heap.push(scheduled)
    while (place > 0) {
      const parent = (place - 1) >> 1
      const above = heap[parent]
      if (above === undefined || isBefore(above, scheduled)) break
      heap[place] = above
      place = parent
    }
    heap[place] = scheduled
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let place = 0
    for (;;) {
      const [left, right] = [heap[2 * place + 1], heap[2 * place + 2]]
      if (left === undefined) break
      const useRight = right !== undefined && isBefore(right, left)
      const child = useRight ? right : left
      if (isBefore(last, child)) break
      heap[place] = child
      place = 2 * place + (useRight ? 2 : 1)
    }
    heap[place] = last
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.atMs === b.atMs ? a.sequence < b.sequence : a.atMs < b.atMs
}
