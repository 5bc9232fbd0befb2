/** Chance that can be played again: mulberry32 under a printed seed. Not for keys outside of tests. */
import type { Random } from '../../node/runtime/ports.ts'

export type SeededRandom = Random & {
  /** 0..bound-1 */
  below(bound: number): number
}

export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  return {
    below: (bound) => next() % bound,
    bytes: (byteCount) => Uint8Array.from({ length: byteCount }, () => next() & 0xff),
  }
}

/** The seed of this run: from the environment, else a new one; printed, so that a failure can be repeated. */
export function testSeed(): number {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  console.log(`SEED=${seed}`)
  return seed
}
