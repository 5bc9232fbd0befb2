/** One model in memory: what it is, how busy it is, and its words in tokens. */
import { domainHash } from '#core/hash'
import { toHex, utf8 } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { rememberWithin } from '../../core/identity/bounded-cache.ts'
import type { ModelFacts } from '../../core/job/judge.ts'
import type { Task } from '../../core/log/intent.ts'
import type {
  AuditPosition,
  AuditRequest,
  Backend,
  DetokenizeRequest,
  Embedded,
  GenerateRequest,
  LoadedModel,
  LoadRequest,
  TokenBatch,
} from '../../models/backend.ts'
import type { CatalogueEntry } from '../../models/catalogue.ts'
import { idsIn, renderedMessages, renderOptions, type Words } from './words.ts'

/** Of half a megabyte each at most. */
const PROMPTS_MAX = 16

/** Hears of the work of a model. */
export type TokenMeter = {
  /** So many tokens came at a step of a generation. */
  add(count: number): void
  /** Nothing is generated any more. */
  rest(): void
}
const UNMETERED: TokenMeter = { add: () => undefined, rest: () => undefined }

export class NodeModel {
  readonly entry: CatalogueEntry
  readonly #backend: Backend
  readonly #waitingMax: number
  readonly #meter: TokenMeter
  #loaded: LoadedModel | undefined
  #start: Uint32Array | undefined
  /** Of the prompts asked for last, by the digest of their words: an edge counts them, then its workers read the same ones. */
  readonly #prompts = new Map<string, Uint32Array>()
  #running = 0
  #generating = 0

  /**
   * @param waitingMax  calls that may wait for a slot beyond those that run; more are answered `busy`
   */
  constructor(entry: CatalogueEntry, backend: Backend, waitingMax: number, meter = UNMETERED) {
    this.entry = entry
    this.#backend = backend
    this.#waitingMax = waitingMax
    this.#meter = meter
  }

  /** @throws FabricError CF_MODEL_*, CF_WORKER_HOST_LOST */
  async load(request: LoadRequest): Promise<LoadedModel> {
    this.#loaded = await this.#backend.load(request)
    return this.#loaded
  }

  get loaded(): LoadedModel | undefined {
    return this.#loaded
  }

  /** @throws FabricError CF_WORKER_STARTING before it is loaded */
  now(): LoadedModel {
    if (this.#loaded === undefined) throw new FabricError('CF_WORKER_STARTING', { model: this.entry.id })
    return this.#loaded
  }

  get facts(): ModelFacts | undefined {
    if (this.#loaded === undefined) return undefined
    const { vocabSize, stopIds, dimensions } = this.#loaded
    return { megaParams: this.entry.megaParams, vocabSize, stopIds, dimensions }
  }

  /** Calls that would be taken now. */
  slotsFree(): number {
    return this.#loaded === undefined ? 0 : Math.max(0, this.#loaded.slotCount + this.#waitingMax - this.#running)
  }

  get running(): number {
    return this.#running
  }

  /**
   * @returns the prompt's ids; of an embedding job they are in `counts`
   * @throws  FabricError CF_JOB_INVALID for ids or tools that are none
   */
  async promptIds(task: Exclude<Task, 'embedding'>, words: Words): Promise<Uint32Array> {
    if (words.promptIds.length > 0) return idsIn(words, this.now().vocabSize)
    const { messages, tools, thinking, texts } = words
    const name = toHex(domainHash('prompt', utf8(JSON.stringify([task, messages, tools, thinking, texts]))))
    return (
      this.#prompts.get(name) ?? rememberWithin(this.#prompts, name, await this.#promptIds(task, words), PROMPTS_MAX)
    )
  }

  async #promptIds(task: Exclude<Task, 'embedding'>, words: Words): Promise<Uint32Array> {
    if (task === 'chat') {
      const prompt = await this.#backend.render(renderedMessages(words), renderOptions(words))
      return this.#backend.tokenize(prompt, true)
    }
    // Plain text: what looks like a control token is none. The start token is the model's own affair, as in a template.
    this.#start ??= await this.#backend.tokenize('', true)
    return Uint32Array.from([...this.#start, ...(await this.#backend.tokenize(words.texts[0] ?? '', false))])
  }

  /** Tokens of each text of an embedding job. */
  counts(texts: readonly string[]): Promise<readonly number[]> {
    return Promise.all(texts.map(async (text) => (await this.#backend.tokenize(text, false)).length))
  }

  schedule(promptTokens: number): readonly number[] {
    return this.#backend.schedule(promptTokens)
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<TokenBatch> {
    this.#running += 1
    this.#generating += 1
    try {
      for await (const batch of this.#backend.generate(request, signal)) {
        this.#meter.add(batch.ids.length)
        yield batch
      }
    } finally {
      this.#running -= 1
      this.#generating -= 1
      if (this.#generating === 0) this.#meter.rest()
    }
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedded> {
    this.#running += 1
    try {
      return await this.#backend.embed(texts, signal)
    } finally {
      this.#running -= 1
    }
  }

  /** What the model itself says of an output, a position for each id. @throws FabricError as Backend.audit */
  async audit(request: AuditRequest, signal: AbortSignal): Promise<readonly AuditPosition[]> {
    this.#running += 1
    try {
      return await this.#backend.audit(request, signal)
    } finally {
      this.#running -= 1
    }
  }

  /** The text of an output as its generation gave it out. @throws FabricError as Backend.detokenize */
  detokenize(request: DetokenizeRequest): Promise<string> {
    return this.#backend.detokenize(request)
  }
}
