/** A generation: the prompt in its committed chunks, then one token a step until a stop token, a stop string or the length. */
import { FabricError } from '../core/errors.ts'
import { chooseToken, topPlaces } from '../core/verification/gumbel.ts'
import type { FinishReason, GenerateRequest, LoadedModel, TokenBatch, TokenChance } from './backend.ts'
import { createTokenGrammar, type TokenGrammar } from './gbnf/token-grammar.ts'
import type { Piece } from './pieces.ts'
import { type Candidates, Chunks, type LogitBias, type Progress, type Run, type Step } from './run.ts'
import { sampleToken } from './sampler.ts'
import { outputSchedule, promptSchedule } from './schedule.ts'
import { StopScanner } from './stop-scanner.ts'
import { type Detokenize, REPLACEMENT, TextStream } from './text-stream.ts'

/** Ids before a token that decide how it reads: whether a leading space belongs to it. */
const BEFORE_IDS = 4

export class GenerateRun implements Run {
  readonly call: number
  readonly kind = 'generate'
  readonly #request: GenerateRequest
  readonly #stopIds: readonly number[]
  /** What is fed without being chosen: the prompt, then what another has said of the output. */
  readonly #known: Chunks
  readonly #detokenize: Detokenize
  readonly #text: TextStream
  readonly #stop: StopScanner
  readonly #grammar: TokenGrammar | undefined
  readonly #bias: LogitBias
  /** Of the output alone, for penalties. */
  readonly #counts = new Map<number, number>()
  #before: readonly number[]
  #last = 0
  #count = 0
  /** The last token's best were all against the grammar. */
  #isAgain = false

  /**
   * @param piece  absent: the vocabulary is of a kind whose bytes are not known
   * @throws       FabricError CF_JOB_INVALID for a grammar that is none, CF_MODEL_UNSUPPORTED for one without pieces
   */
  constructor(call: number, request: GenerateRequest, model: LoadedModel, detokenize: Detokenize, piece?: Piece) {
    const before = [...request.promptIds.subarray(-BEFORE_IDS)]
    this.call = call
    this.#request = request
    this.#stopIds = model.stopIds
    this.#known = knownChunks(request)
    this.#detokenize = detokenize
    this.#text = new TextStream(detokenize, before, request.showControl)
    this.#stop = new StopScanner(request.stop)
    this.#grammar = createTokenGrammar(request, model, piece)
    this.#bias = request.sampling.kind === 'llama' ? (request.sampling.logitBias ?? []) : []
    this.#before = before
    for (const id of request.prefixIds ?? []) this.#resume(id)
  }

  next(): Step {
    const bias = this.#bias.length === 0 ? {} : { bias: this.#bias }
    if (this.#isAgain) return { ids: [this.#last], ask: 'last', ...bias, isAgain: true }
    const ids = this.#known.left > 0 ? this.#known.take() : [this.#last]
    this.#last = ids.at(-1) ?? this.#last
    return this.#known.left > 0 ? { ids, ask: 'none' } : { ids, ask: 'last', ...bias }
  }

  take(candidates: readonly Candidates[]): Progress {
    const [raw] = candidates
    if (raw === undefined) return { ended: false }
    const found = this.#grammar?.restricted(raw) ?? raw
    if (found.ids.length > 0) return this.#chosen(found)
    // The grammar may allow a token that is not among the best: the whole vocabulary is looked at before giving up.
    const isOver = this.#isAgain || this.#grammar?.isSpent !== false
    this.#isAgain = true
    return isOver ? { ended: true, failure: stuck() } : { ended: false }
  }

  #chosen(found: Candidates): Progress {
    this.#isAgain = false
    const id = this.#choose(found)
    const details = this.#detail(found, id)
    this.#accept(id)
    const { text, finish } = this.#say(id)
    const batch: Progress['batch'] = { ids: [id], logprobs: [logprobOf(found, id)], ...details, text }
    return finish === undefined ? { batch, ended: false } : { batch: { ...batch, finish }, ended: true }
  }

  cancel(): Progress {
    return { batch: { ids: [], logprobs: [], text: this.#text.end(), finish: 'aborted' }, ended: true }
  }

  /** As if the token had been chosen here; its text was shown by another. */
  #resume(id: number): void {
    this.#accept(id)
    this.#stop.push(this.#text.push(id))
  }

  #accept(id: number): void {
    this.#grammar?.accept(id)
    this.#count += 1
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1)
    this.#last = id
    this.#before = [...this.#before, id].slice(-BEFORE_IDS)
  }

  #choose(found: Candidates): number {
    const { sampling, seed } = this.#request
    if (sampling.kind === 'llama') return sampleToken(found, sampling, this.#counts, this.#count)
    return chooseToken(found.ids, found.logits, sampling.topK, sampling.temperatureMilli / 1000, seed, this.#count)
  }

  /** What may be shown of the token, and whether it is the last. A stop token's own text is not part of the output. */
  #say(id: number): { readonly text: string; readonly finish: FinishReason | undefined } {
    if (this.#stopIds.includes(id)) return { text: this.#text.end(), finish: 'stop' }
    const isFull = this.#count === this.#request.maxTokens
    const said = this.#text.push(id)
    const isStopped = this.#stop.push(said)
    if (!isStopped && !isFull) return { text: said, finish: undefined }
    const rest = this.#text.end()
    return { text: said + rest, finish: isStopped || this.#stop.push(rest) ? 'stop' : 'length' }
  }

  #detail(found: Candidates, id: number): Pick<TokenBatch, 'details'> {
    const { topLogprobs } = this.#request
    if (topLogprobs === undefined) return {}
    const shown = (of: number): TokenChance => ({ id: of, text: this.#textOf(of), logprob: logprobOf(found, of) })
    const best = topPlaces(found.ids, found.logits, topLogprobs).flatMap((place) => found.ids[place] ?? [])
    return { details: [{ ...shown(id), top: best.map(shown) }] }
  }

  #textOf(id: number): string {
    const text = this.#detokenize([id], this.#before, this.#request.showControl ?? false)
    return text.includes(REPLACEMENT) ? '' : text
  }
}

function knownChunks({ promptIds, prefixIds = new Uint32Array(0) }: GenerateRequest): Chunks {
  const known = new Uint32Array(promptIds.length + prefixIds.length)
  known.set(promptIds)
  known.set(prefixIds, promptIds.length)
  return new Chunks(known, [...promptSchedule(promptIds.length), ...outputSchedule(prefixIds.length)])
}

function stuck(): FabricError {
  return new FabricError('CF_JOB_INVALID', { field: 'grammar', reason: 'stuck' })
}

/** Natural-log probability of `id` at temperature 1 over the candidates. */
export function logprobOf(found: Candidates, id: number): number {
  const top = found.logits[0] ?? 0
  const total = found.logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0)
  return (found.logits[found.ids.indexOf(id)] ?? Number.NEGATIVE_INFINITY) - top - Math.log(total)
}
