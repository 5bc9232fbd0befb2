/**
 * Whose accusations are not believed for a while: those who accused many that were then found alive, be they liars or overloaded.
 *
 * Why it matters: each accusation is passed on to everybody and answered by a signed record, so a liar could make the swarm do a
 * great deal of work. Somebody framed by it is not believed for a while either; detection then rests on everybody's own probes.
 */
import type { PeerId } from '../ids.ts'

const DOUBTED_COUNT = 8
const FADE_MS = 30_000
const COUNT_MAX = 4_096

export class Doubts {
  readonly #wrong = new Map<PeerId, number>()
  #fadedMs = 0

  /** The accused has turned out to be there. */
  add(accusers: Iterable<PeerId>): void {
    for (const accuser of accusers)
      if (this.#wrong.size < COUNT_MAX) this.#wrong.set(accuser, (this.#wrong.get(accuser) ?? 0) + 1)
  }

  isDoubted(accuser: PeerId): boolean {
    return (this.#wrong.get(accuser) ?? 0) >= DOUBTED_COUNT
  }

  /** What was wrong counts half as much after a while. */
  fade(nowMs: number): void {
    if (nowMs - this.#fadedMs < FADE_MS) return
    this.#fadedMs = nowMs
    for (const [accuser, count] of this.#wrong) {
      if (count < 2) this.#wrong.delete(accuser)
      else this.#wrong.set(accuser, count >> 1)
    }
  }
}
