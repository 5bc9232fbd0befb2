/** What happened, as lines: their hash tells whether two runs were the same, the lines themselves are kept only when asked for. */
import type { Scheduler } from '../../node/simulation/scheduler.ts'

const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193

export class Trace {
  readonly lines: string[] = []
  readonly #scheduler: Scheduler
  readonly #keeps: boolean
  readonly #startMs: number
  #hash = FNV_OFFSET

  constructor(scheduler: Scheduler, keeps: boolean) {
    this.#scheduler = scheduler
    this.#keeps = keeps
    this.#startMs = scheduler.nowMs
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  say(line: string): void {
    const atMs = this.#scheduler.nowMs - this.#startMs
    this.mix(atMs)
    for (let index = 0; index < line.length; index += 1) this.mix(line.charCodeAt(index))
    if (this.#keeps) this.lines.push(`${String(atMs).padStart(6)} ${line}`)
  }

  /** Counts into the hash what is too frequent for a line. */
  mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, FNV_PRIME)
  }
}
