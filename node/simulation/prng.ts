/** Chance that can be played again: sfc32 (Chris Doty-Humphrey) under one integer seed. */
import { invariant } from '../../core/invariant.ts'
import type { Random } from '../runtime/ports.ts'

export class Prng {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number) {
    this.#a = seed >>> 0
    this.#b = Math.floor(seed / 2 ** 32) >>> 0
    this.#c = 0x9e3779b9
    for (let round = 0; round < 12; round += 1) this.next()
  }

  /** An unsigned 32-bit number. */
  next(): number {
    const mixed = (this.#a + this.#b + this.#counter) >>> 0
    this.#counter = (this.#counter + 1) >>> 0
    this.#a = (this.#b ^ (this.#b >>> 9)) >>> 0
    this.#b = (this.#c + (this.#c << 3)) >>> 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + mixed) >>> 0
    return mixed
  }

  /** 0..bound-1 */
  below(bound: number): number {
    return this.next() % bound
  }

  /** Both ends included. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1)
  }

  chance(permille: number): boolean {
    return this.below(1_000) < permille
  }

  pick<T>(list: readonly T[]): T {
    const chosen = list[this.below(list.length)]
    invariant(chosen !== undefined, 'a list to pick from has items')
    return chosen
  }

  bytes(byteCount: number): Uint8Array {
    return Uint8Array.from({ length: byteCount }, () => this.next() & 0xff)
  }
}

/** A u32 for a simulation that was given none. */
export function drawSeed(random: Random): number {
  const bytes = random.bytes(Uint32Array.BYTES_PER_ELEMENT)
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
}
