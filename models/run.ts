/** One sequence's work for the lock-step driver, as forward passes: what to feed, where candidates are wanted, what follows. */
import type { FabricError } from '../core/errors.ts'
import type { TokenBatch } from './backend.ts'

export type LogitBias = readonly (readonly [id: number, bias: number])[]

/** The 64 best tokens after one input token, best first. */
export type Candidates = {
  readonly ids: readonly number[]
  readonly logits: readonly number[]
}

export type Step = {
  /** 1..63 token ids. */
  readonly ids: readonly number[]
  /** After which of them candidates are wanted. */
  readonly ask: 'none' | 'last' | 'all'
  /** Added to the logits, in 32 bits, before the best are taken. */
  readonly bias?: LogitBias
  /** The id is the sequence's last one, computed once more because its 64 best would not do: candidates are the whole vocabulary. */
  readonly isAgain?: boolean
}

export type Progress = {
  readonly batch?: Omit<TokenBatch, 'slot'>
  readonly ended: boolean
  /** Why a run that ends has no answer: nothing was wrong with the engine. */
  readonly failure?: FabricError
}

export interface Run {
  /** The daemon's call number. */
  readonly call: number
  readonly kind: 'generate' | 'audit'
  next(): Step
  /** @param candidates  as many as `next` asked for */
  take(candidates: readonly Candidates[]): Progress
  /** The last words of a run that was cut short. */
  cancel(): Progress
}

/** Pops chunks of given sizes off a sequence of ids. */
export class Chunks {
  readonly #ids: Uint32Array
  readonly #sizes: readonly number[]
  #at = 0
  #next = 0

  constructor(ids: Uint32Array, sizes: readonly number[]) {
    this.#ids = ids
    this.#sizes = sizes
  }

  get left(): number {
    return this.#sizes.length - this.#next
  }

  /** @returns the next chunk; empty when none is left */
  take(): number[] {
    const size = this.#sizes[this.#next] ?? 0
    const chunk = [...this.#ids.subarray(this.#at, this.#at + size)]
    this.#at += size
    this.#next += 1
    return chunk
  }
}
