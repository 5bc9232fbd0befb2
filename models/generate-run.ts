/** A generation: the prompt in its committed chunks, then one token a step until a stop token or the length. */
import { chooseToken } from '../core/verification/gumbel.ts'
import type { GenerateRequest, LoadedModel } from './backend.ts'
import { type Candidates, Chunks, type Progress, type Run, type Step } from './run.ts'
import { promptSchedule } from './schedule.ts'
import { type Detokenize, TextStream } from './text-stream.ts'

const MIX = 0x9e3779b1

export class GenerateRun implements Run {
  readonly call: number
  readonly kind = 'generate'
  readonly #request: GenerateRequest
  readonly #stopIds: readonly number[]
  readonly #prompt: Chunks
  readonly #text: TextStream
  #last = 0
  #count = 0

  constructor(call: number, request: GenerateRequest, model: LoadedModel, detokenize: Detokenize) {
    this.call = call
    this.#request = request
    this.#stopIds = model.stopIds
    this.#prompt = new Chunks(request.promptIds, promptSchedule(request.promptIds.length))
    this.#text = new TextStream(detokenize, [...request.promptIds.subarray(-8)])
  }

  next(): Step {
    const ids = this.#prompt.left > 0 ? this.#prompt.take() : [this.#last]
    if (this.#prompt.left > 0) return { ids, ask: 'none' }
    const { sampling } = this.#request
    return sampling.kind === 'gumbel-v1' ? { ids, ask: 'last' } : { ids, ask: 'last', sampling: this.#seeded(sampling) }
  }

  take(candidates: readonly Candidates[]): Progress {
    const [found] = candidates
    if (found === undefined) return { ended: false }
    const { id, logprob } = this.#choose(found)
    this.#last = id
    this.#count += 1
    const stopped = this.#stopIds.includes(id)
    const ended = stopped || this.#count === this.#request.maxTokens
    const text = (stopped ? '' : this.#text.push(id)) + (ended ? this.#text.end() : '')
    const batch = { ids: [id], logprobs: [logprob], text }
    return ended ? { batch: { ...batch, finish: stopped ? 'stop' : 'length' }, ended } : { batch, ended }
  }

  cancel(): Progress {
    return { batch: { ids: [], logprobs: [], text: this.#text.end(), finish: 'aborted' }, ended: true }
  }

  #choose(found: Candidates): { readonly id: number; readonly logprob: number } {
    const { sampling, seed } = this.#request
    if (found.sampled !== undefined) return { id: found.sampled.id, logprob: Math.log(found.sampled.probability) }
    if (sampling.kind !== 'gumbel-v1') return { id: found.ids[0] ?? 0, logprob: 0 }
    const id = chooseToken(found.ids, found.logits, sampling.topK, sampling.temperatureMilli / 1000, seed, this.#count)
    return { id, logprob: logprobOf(found, id) }
  }

  /** Why a seed for each position: the engine makes a new sampler for every step, and one seed would draw one number for ever. */
  #seeded<T extends { readonly seed: number }>(sampling: T): T {
    return { ...sampling, seed: (sampling.seed + Math.imul(this.#count + 1, MIX)) >>> 0 }
  }
}

/** Natural-log probability of `id` at temperature 1 over the candidates. */
export function logprobOf(found: Candidates, id: number): number {
  const top = found.logits[0] ?? 0
  const total = found.logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0)
  return (found.logits[found.ids.indexOf(id)] ?? Number.NEGATIVE_INFINITY) - top - Math.log(total)
}
