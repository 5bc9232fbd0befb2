/** A GGUF encoder in the native engine. */
import type { LoadRequest } from '../backend.ts'
import { ONE_AT_A_TIME } from '../embed-batcher.ts'
import type { EmbedEngine } from '../embed-hosted.ts'
import { encoderModel } from '../gguf-encoder.ts'
import { createTokenBound } from '../token-bound.ts'
import type { NativeContextSpec, NativeEngine, StepExtra } from './addon.ts'
import { failureOf } from './jobs.ts'
import { engineIdOf } from './libraries.ts'
import { contextOf, type LoadedNative, loading } from './open.ts'

type Waiting = { readonly resolve: (vectors: readonly Float32Array[]) => void; readonly reject: (error: Error) => void }

/** Batches on their way through the engine. */
class Batches {
  readonly #waiting = new Map<number, Waiting>()
  #last = 0

  run(engine: NativeEngine, texts: readonly Uint32Array[]): Promise<readonly Float32Array[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Float32Array[]>()
    this.#last += 1
    this.#waiting.set(this.#last, { resolve, reject })
    engine.embed(this.#last, texts)
    return promise
  }

  takeStep({ embeds, failures }: StepExtra): void {
    for (const { call, vectors } of embeds) this.#end(call)?.resolve(vectors)
    for (const { call, failure } of failures) this.#end(call)?.reject(failureOf(failure))
  }

  #end(call: number): Waiting | undefined {
    const waiting = this.#waiting.get(call)
    this.#waiting.delete(call)
    return waiting
  }
}

/**
 * @param verified  what a restart need not find out again
 * @throws          FabricError CF_MODEL_OUT_OF_MEMORY, CF_MODEL_LOAD_FAILED
 */
export async function openNativeEncoder(
  request: LoadRequest,
  native: LoadedNative,
  verified: string,
): Promise<EmbedEngine> {
  const { addon, model, header, libraries, found } = native
  const { info, contextTokens } = header
  const batches = new Batches()
  const engine = await loading(() =>
    addon.createEngine(model, specOf(request, native), (_body, extra) => {
      if (extra !== undefined) batches.takeStep(extra)
    }),
  )
  const checkLength = createTokenBound(info, contextTokens)
  const { vocabSize, vectorSize: dimensions } = model
  const engineId = engineIdOf(libraries, found.version, request)
  const driver = { kind: 'native', reason: '' } as const
  return {
    model: encoderModel(request, { contextTokens, dimensions, vocabSize, engineId, driver }),
    verified,
    batching: ONE_AT_A_TIME,
    read: (text) => {
      checkLength(text)
      return model.tokenizeWhole(text)
    },
    run: (texts) => batches.run(engine, texts),
  }
}

/** All of a text is read in one pass: its vector is made of all its tokens. */
function specOf(request: LoadRequest, native: LoadedNative): NativeContextSpec {
  const { contextTokens } = native.header
  return { ...contextOf(request, native, contextTokens), slotCount: 1, cachedSequences: 0 }
}
