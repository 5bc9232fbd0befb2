/** The models that this node can run, behind one Backend: what workers and validators need to know about them. */
import { FabricError } from '../../core/errors.ts'
import type { Digest } from '../../core/ids.ts'
import type { Backend, ChatMessage, GenerateRequest, LoadedModel, TokenBatch } from '../../models/backend.ts'

export class ModelRunner {
  readonly #backend: Backend
  #loaded: LoadedModel | undefined
  #running = 0
  readonly #waitingMax: number

  /** @param waitingMax  generations that may wait for a slot beyond those that run; more are answered `busy` */
  constructor(backend: Backend, waitingMax: number) {
    this.#backend = backend
    this.#waitingMax = waitingMax
  }

  loaded(model: LoadedModel): void {
    this.#loaded = model
  }

  get current(): LoadedModel | undefined {
    return this.#loaded
  }

  holds(modelDigest: Digest): boolean {
    return this.#loaded?.digest === modelDigest
  }

  /** @throws FabricError CF_MODEL_UNKNOWN */
  model(modelDigest: Digest): LoadedModel {
    if (this.#loaded === undefined || this.#loaded.digest !== modelDigest) throw new FabricError('CF_MODEL_UNKNOWN')
    return this.#loaded
  }

  /** Generations that would be taken now. */
  slotsFree(): number {
    return this.#loaded === undefined ? 0 : Math.max(0, this.#loaded.slotCount + this.#waitingMax - this.#running)
  }

  get running(): number {
    return this.#running
  }

  async promptIds(messages: readonly ChatMessage[]): Promise<Uint32Array> {
    return this.#backend.tokenize(await this.#backend.render(messages), true)
  }

  schedule(promptTokens: number): readonly number[] {
    return this.#backend.schedule(promptTokens)
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<TokenBatch> {
    this.#running += 1
    try {
      yield* this.#backend.generate(request, signal)
    } finally {
      this.#running -= 1
    }
  }
}
