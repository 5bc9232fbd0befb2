/** The compute host's side of a model that embeds: texts become ids here, and wait for each other in the batcher. */
import { FabricError } from '../core/errors.ts'
import { unreachable } from '../core/invariant.ts'
import type { BackendMetrics, LoadedModel, LoadRequest } from './backend.ts'
import { BATCHER_DEFAULTS, EmbedBatcher } from './embed-batcher.ts'
import type { ComputeFrame, Hosted, Send } from './hosted.ts'
import { type OnnxEngine, openOnnx } from './onnx.ts'

class OnnxHosted implements Hosted {
  readonly #engine: OnnxEngine
  readonly #batcher: EmbedBatcher
  readonly #send: Send

  constructor(engine: OnnxEngine, send: Send) {
    this.#engine = engine
    this.#send = send
    this.#batcher = new EmbedBatcher(BATCHER_DEFAULTS, { run: engine.run, nowMs: () => performance.now() })
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
        return this.#send({ type: 'tokenized', call, ids: this.#engine.tokenizer.encode(frame.text) })
      case 'render':
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
    return { slotsBusy: Math.min(callCount, slotCount), slotCount, tokensDecoded: 0, tokensPrefilled: tokensRead }
  }

  async #embed(call: number, texts: readonly string[]): Promise<void> {
    const ids = texts.map((text, index) => this.#read(text, index))
    const vectors = await this.#batcher.embed(call, ids)
    if (vectors !== undefined)
      this.#send({ type: 'embedded', call, embedded: { vectors, tokenCounts: ids.map(({ length }) => length) } })
  }

  #read(text: string, index: number): Uint32Array {
    const { contextTokens } = this.#engine.model
    const ids = this.#engine.tokenizer.encode(text)
    if (ids.length === 0) throw new FabricError('CF_JOB_INVALID', { field: 'texts', index })
    if (ids.length > contextTokens)
      throw new FabricError('CF_JOB_CONTEXT_EXCEEDED', { index, tokens: ids.length, contextTokens })
    return ids
  }
}

/** @throws FabricError as openOnnx */
export async function hostOnnx(request: LoadRequest, verified: string, send: Send): Promise<Hosted> {
  return new OnnxHosted(await openOnnx(request, verified), send)
}
