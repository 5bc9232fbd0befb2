/** The compute host's side of a model in the native engine: calls go in as jobs, and every step comes back as one frame. */
import { FabricError } from '../../core/errors.ts'
import { unreachable } from '../../core/invariant.ts'
import type { BackendMetrics, LoadedModel } from '../backend.ts'
import type { ComputeFrame, Hosted, Send } from '../hosted.ts'
import { detokenizeFrom } from '../pieces.ts'
import type { Prompter } from '../prompt.ts'
import { outputText } from '../text-stream.ts'
import type { NativeEngine, NativeModel, OnStep, StepExtra } from './addon.ts'
import { auditColumns, auditJob, failureOf, generateJob } from './jobs.ts'

const NS_PER_MS = 1e6

export type NativeParts = {
  readonly loaded: LoadedModel
  /** Stamp of the checked file, and what else a restart need not find out again. */
  readonly verified: string
  readonly model: NativeModel
  readonly prompter: Prompter
  /** Throws for a text that cannot fit the context. */
  readonly checkLength: (text: string) => void
  /** Of jobs that nobody replays. */
  readonly createEngine: (onStep: OnStep) => Promise<NativeEngine>
}

class NativeHosted implements Hosted {
  readonly #parts: NativeParts
  readonly #send: Send
  readonly #engine: NativeEngine
  /** Calls whose generation is not over. */
  readonly #generating = new Set<number>()
  /** Waiting for generations to be over. */
  #aborting: { readonly calls: Set<number>; readonly resolve: () => void }[] = []

  constructor(parts: NativeParts, engine: NativeEngine, send: Send) {
    this.#parts = parts
    this.#engine = engine
    this.#send = send
  }

  get model(): LoadedModel {
    return this.#parts.loaded
  }

  get verified(): string {
    return this.#parts.verified
  }

  async answer(frame: ComputeFrame): Promise<void> {
    const { call } = frame
    switch (frame.type) {
      case 'render':
        return this.#send({ type: 'rendered', call, text: this.#parts.prompter.render(frame.messages, frame.options) })
      case 'tokenize': {
        this.#parts.checkLength(frame.text)
        const ids = await this.#parts.model.tokenize(frame.text, frame.parseSpecial)
        return this.#send({ type: 'tokenized', call, ids })
      }
      case 'detokenize': {
        const { model, loaded } = this.#parts
        const detokenize = detokenizeFrom((id, showControl) => model.piece(id, showControl))
        return this.#send({ type: 'detokenized', call, text: outputText(detokenize, frame.request, loaded.stopIds) })
      }
      case 'generate':
        this.#engine.generate(generateJob(call, frame.request))
        this.#generating.add(call)
        return
      case 'audit':
        return this.#engine.audit(auditJob(call, frame.request))
      case 'embed':
        throw new FabricError('CF_MODEL_UNSUPPORTED', { operation: frame.type })
      case 'abort':
        await this.#abort()
        return this.#send({ type: 'aborted', call })
      default:
        return unreachable(frame)
    }
  }

  cancel(call: number): void {
    this.#engine.cancel(call)
  }

  metrics(): Omit<BackendMetrics, 'residentBytes'> {
    const { decodeNs, prefillNs, sampleNs, ...metrics } = this.#engine.metrics()
    return {
      slotsBusy: metrics.slotsBusy,
      slotCount: this.model.slotCount,
      tokensDecoded: metrics.tokensDecoded,
      tokensPrefilled: metrics.tokensPrefilled,
      jobsWaiting: metrics.jobsWaiting,
      steps: metrics.steps,
      stepMs: Math.round((decodeNs + prefillNs + sampleNs) / NS_PER_MS),
      tokensFromCache: metrics.tokensFromCache,
    }
  }

  takeStep(body: Uint8Array, extra: StepExtra | undefined): void {
    this.#send({ type: 'tokens', body })
    if (extra === undefined) return
    for (const { call, failure } of extra.failures) {
      const { code, detail } = failureOf(failure)
      this.#send({ type: 'failed', call, code, detail })
    }
    for (const audited of extra.audits) {
      const columns = auditColumns(audited)
      // One that was given up: nobody waits for it.
      if (columns.counts.length > 0) this.#send({ type: 'audited', call: audited.call, columns })
    }
    this.#end([...extra.ended, ...extra.failures.map(({ call }) => call)])
  }

  #abort(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    if (this.#generating.size === 0) return Promise.resolve()
    this.#aborting.push({ calls: new Set(this.#generating), resolve })
    this.#engine.abortGenerations()
    return promise
  }

  #end(calls: readonly number[]): void {
    for (const call of calls) {
      this.#generating.delete(call)
      for (const waiting of this.#aborting) waiting.calls.delete(call)
    }
    for (const { calls: left, resolve } of this.#aborting) if (left.size === 0) resolve()
    this.#aborting = this.#aborting.filter(({ calls: left }) => left.size > 0)
  }
}

export async function hostNative(parts: NativeParts, send: Send): Promise<Hosted> {
  let hosted: NativeHosted | undefined
  const engine = await parts.createEngine((body, extra) => hosted?.takeStep(body, extra))
  hosted = new NativeHosted(parts, engine, send)
  return hosted
}
