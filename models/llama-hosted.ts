/** The compute host's side of a model that generates: every call becomes a run of the lock-step driver. */
import { FabricError } from '../core/errors.ts'
import { unreachable } from '../core/invariant.ts'
import { AuditRun } from './audit-run.ts'
import { columnsOf } from './audited.ts'
import type { BackendMetrics, LoadedModel, LoadRequest } from './backend.ts'
import { hostEmbedder } from './embed-hosted.ts'
import { GenerateRun } from './generate-run.ts'
import type { ComputeFrame, Hosted, Send } from './hosted.ts'
import { type LlamaEngine, openLlama, startLlama } from './llama.ts'
import { openLlamaEncoder } from './llama-embed.ts'
import { Lockstep } from './lockstep.ts'
import { outputText } from './text-stream.ts'

class LlamaHosted implements Hosted {
  readonly #engine: LlamaEngine
  readonly #driver: Lockstep
  readonly #send: Send

  constructor(engine: LlamaEngine, send: Send) {
    this.#engine = engine
    this.#send = send
    this.#driver = new Lockstep(
      engine,
      (batches) => send({ type: 'step', batches }),
      (call, { code, detail }) => send({ type: 'failed', call, code, detail }),
    )
  }

  get model(): LoadedModel {
    return this.#engine.model
  }

  get verified(): string {
    return this.#engine.verified
  }

  async answer(frame: ComputeFrame): Promise<void> {
    const { call } = frame
    const { model, render, tokenize, detokenize, piece } = this.#engine
    switch (frame.type) {
      case 'render':
        return this.#send({ type: 'rendered', call, text: render(frame.messages, frame.options) })
      case 'tokenize':
        return this.#send({ type: 'tokenized', call, ids: tokenize(frame.text, frame.parseSpecial) })
      case 'detokenize':
        return this.#send({ type: 'detokenized', call, text: outputText(detokenize, frame.request, model.stopIds) })
      case 'generate':
        return this.#driver.add(new GenerateRun(call, frame.request, model, detokenize, piece))
      case 'audit':
        return this.#driver.add(
          new AuditRun(call, frame.request, (positions) =>
            this.#send({ type: 'audited', call, columns: columnsOf(positions) }),
          ),
        )
      case 'embed':
        throw new FabricError('CF_MODEL_UNSUPPORTED', { operation: frame.type })
      case 'abort':
        await this.#driver.abort()
        return this.#send({ type: 'aborted', call })
      default:
        return unreachable(frame)
    }
  }

  cancel(call: number): void {
    this.#driver.cancel(call)
  }

  metrics(): Omit<BackendMetrics, 'residentBytes'> {
    const { slotsBusy, jobsWaiting, tokensDecoded, tokensPrefilled, passes, passMs } = this.#driver
    return {
      ...{ slotsBusy, slotCount: this.#engine.slotCount, jobsWaiting, tokensDecoded, tokensPrefilled },
      ...{ steps: passes, stepMs: Math.round(passMs), tokensFromCache: 0 },
    }
  }
}

/** @throws FabricError as startLlama, openLlama */
export async function hostLlama(request: LoadRequest, verified: string, send: Send, reason: string): Promise<Hosted> {
  const started = await startLlama(request, verified)
  const { encoder } = started.header
  return encoder === undefined
    ? new LlamaHosted(await openLlama(request, started, reason), send)
    : hostEmbedder(await openLlamaEncoder(request, started, encoder.dimensions, reason), send)
}
