/** The compute host's side of a model that embeds: texts become ids here, and wait for each other in the batcher. */
import { FabricError } from '../core/errors.ts'
import { unreachable } from '../core/invariant.ts'
import type { BackendMetrics, LoadedModel } from './backend.ts'
import { type BatcherOptions, EmbedBatcher } from './embed-batcher.ts'
import type { ComputeFrame, Hosted, Send } from './hosted.ts'

/** What computes vectors, one batch at a time. */
export interface EmbedEngine {
  readonly model: LoadedModel
  /** What a restart need not find out again. */
  readonly verified: string
  readonly batching: BatcherOptions
  /** Ids with those that the model wants around a text. @throws FabricError CF_JOB_CONTEXT_EXCEEDED where they need not be counted */
  readonly read: (text: string) => Uint32Array | Promise<Uint32Array>
  /** @returns unit vectors in the order of the texts */
  readonly run: (texts: readonly Uint32Array[]) => Promise<readonly Float32Array[]>
}

const NO_IDS = new Uint32Array()

class EmbedHosted implements Hosted {
  readonly #engine: EmbedEngine
  readonly #batcher: EmbedBatcher
  readonly #send: Send

  constructor(engine: EmbedEngine, send: Send) {
    this.#engine = engine
    this.#send = send
    this.#batcher = new EmbedBatcher(engine.batching, { run: engine.run, nowMs: () => performance.now() })
  }

  get model(): LoadedModel {
    return this.#engine.model
  }

  get verified(): string {
    return this.#engine.verified
  }

  async answer(frame: ComputeFrame): Promise<void> {
    const { call } = frame
    switch (frame.type) {
      case 'embed':
        return this.#embed(call, frame.texts)
      case 'tokenize':
        return this.#send({ type: 'tokenized', call, ids: await this.#read(frame.text) })
      case 'render':
      case 'detokenize':
      case 'generate':
      case 'audit':
        throw new FabricError('CF_MODEL_UNSUPPORTED', { operation: frame.type })
      case 'abort':
        return this.#send({ type: 'aborted', call })
      default:
        return unreachable(frame)
    }
  }

  cancel(call: number): void {
    this.#batcher.cancel(call)
  }

  metrics(): Omit<BackendMetrics, 'residentBytes'> {
    const { slotCount } = this.#engine.model
    const { callCount, tokensRead } = this.#batcher
    const none = { tokensDecoded: 0, tokensFromCache: 0, jobsWaiting: 0, steps: 0, stepMs: 0 }
    return { ...none, slotsBusy: Math.min(callCount, slotCount), slotCount, tokensPrefilled: tokensRead }
  }

  async #embed(call: number, texts: readonly string[]): Promise<void> {
    const ids = await Promise.all(texts.map((text, index) => this.#readFitting(text, index)))
    const vectors = await this.#batcher.embed(call, ids)
    if (vectors !== undefined)
      this.#send({ type: 'embedded', call, embedded: { vectors, tokenCounts: ids.map(({ length }) => length) } })
  }

  /** Spaces alone say nothing, whatever a vocabulary makes of them. */
  async #read(text: string): Promise<Uint32Array> {
    return text.trim() === '' ? NO_IDS : this.#engine.read(text)
  }

  async #readFitting(text: string, index: number): Promise<Uint32Array> {
    const { contextTokens } = this.#engine.model
    const ids = await this.#read(text).catch((error: unknown) => {
      throw error instanceof FabricError ? new FabricError(error.code, { index, ...error.detail }) : error
    })
    if (ids.length === 0) throw new FabricError('CF_JOB_INVALID', { field: 'texts', index })
    if (ids.length > contextTokens)
      throw new FabricError('CF_JOB_CONTEXT_EXCEEDED', { index, tokens: ids.length, contextTokens })
    return ids
  }
}

export function hostEmbedder(engine: EmbedEngine, send: Send): Hosted {
  return new EmbedHosted(engine, send)
}
