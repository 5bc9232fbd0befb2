/** A teacher-forced pass over claimed output: what would the verifier have chosen at each position? */
import { invariant } from '../core/invariant.ts'
import { marginOf } from '../core/verification/margin.ts'
import type { AuditPosition, AuditRequest } from './backend.ts'
import { type Candidates, Chunks, type Progress, type Run, type Step } from './run.ts'
import { outputSchedule } from './schedule.ts'

export class AuditRun implements Run {
  readonly call: number
  readonly kind = 'audit'
  readonly #request: AuditRequest
  readonly #done: (positions: readonly AuditPosition[]) => void
  readonly #prompt: Chunks
  readonly #output: Chunks
  readonly #positions: AuditPosition[] = []

  /** @param done  gets one position for each output id */
  constructor(call: number, request: AuditRequest, done: (positions: readonly AuditPosition[]) => void) {
    this.call = call
    this.#request = request
    this.#done = done
    this.#prompt = new Chunks(request.promptIds, request.chunks)
    // The last output id is predicted, never fed.
    const fed = request.outputIds.subarray(0, -1)
    this.#output = new Chunks(fed, outputSchedule(fed.length))
  }

  next(): Step {
    if (this.#prompt.left === 0) return { ids: this.#output.take(), ask: 'all' }
    const ids = this.#prompt.take()
    return { ids, ask: this.#prompt.left > 0 ? 'none' : 'last' }
  }

  take(candidates: readonly Candidates[]): Progress {
    for (const found of candidates) this.#positions.push(this.#judge(found, this.#positions.length))
    const ended = this.#positions.length === this.#request.outputIds.length
    if (ended) this.#done(this.#positions)
    return { ended }
  }

  cancel(): Progress {
    return { ended: true }
  }

  #judge(found: Candidates, position: number): AuditPosition {
    const { sampling, seed, outputIds } = this.#request
    const claimed = outputIds[position]
    invariant(
      claimed !== undefined && sampling.kind === 'gumbel-v1',
      'an audit asks for as many positions as were claimed',
    )
    const { margin, rank } = marginOf(
      found.ids,
      found.logits,
      claimed,
      sampling.topK,
      sampling.temperatureMilli / 1000,
      seed,
      position,
    )
    return { margin, rank, topIds: found.ids, topLogits: found.logits }
  }
}
