/** Our engine as the daemon uses it: in a compute host of its own, over frames. */
import type { Backend, GenerateRequest, LoadedModel, LoadRequest, SamplingSpec } from '../../models/backend.ts'
import { HOST_DEFAULTS, HostBackend } from '../../node/hosts/host-backend.ts'
import { systemClock } from '../../node/runtime/system.ts'
import type { Model } from './models.ts'
import { GUMBEL, idsOf, speedTogether } from './workload.ts'

export type DriverChoice = NonNullable<LoadRequest['driver']>
export type Engine = { readonly backend: Backend; readonly loaded: LoadedModel; close(): Promise<void> }
export type EngineOptions = {
  readonly threads: number
  readonly slots: number
  readonly driver: DriverChoice
  readonly contextTokens?: number
}

const MEMORY_BYTES_MAX = 8_589_934_592
const RUN_MS_MAX = 120_000

export async function openEngine(model: Model, options: EngineOptions): Promise<Engine> {
  const backend = new HostBackend(HOST_DEFAULTS, { clock: systemClock, onEvent: () => undefined })
  const { threads, slots, driver, contextTokens = 1_024 } = options
  const loaded = await backend.load({
    ...{ format: 'gguf', path: model.path, digest: model.digest, gpu: model.gpu, memoryBytesMax: MEMORY_BYTES_MAX },
    ...{ contextTokens, slotCount: slots, threads, driver },
  })
  return { backend, loaded, close: () => backend.close() }
}

export function requestOf(
  engine: Engine,
  promptTokens: number,
  maxTokens: number,
  salt: number,
  sampling = GUMBEL,
): GenerateRequest {
  const seed = new Uint8Array(32).fill(salt % 256)
  return { promptIds: idsOf(engine.loaded.vocabSize, promptTokens, salt), maxTokens, seed, stop: [], sampling }
}

/** When each token came, milliseconds, and which it was. */
export type Written = { readonly times: readonly number[]; readonly ids: readonly number[] }

export async function generate({ backend }: Engine, request: GenerateRequest): Promise<Written> {
  const [times, written]: [number[], number[]] = [[], []]
  for await (const { ids } of backend.generate(request, AbortSignal.timeout(RUN_MS_MAX)))
    for (const id of ids) {
      times.push(performance.now())
      written.push(id)
    }
  return { times, ids: written }
}

/**
 * Generates on several sequences at once.
 *
 * @returns tokens per second of all together, from when the last one has begun until the first one ends: no prompt is read meanwhile
 */
export async function decodeSpeed(
  engine: Engine,
  sequences: number,
  promptTokens: number,
  tokens: number,
  sampling = GUMBEL,
): Promise<number> {
  const requests = Array.from({ length: sequences }, (_, salt) =>
    requestOf(engine, promptTokens, tokens, salt, sampling),
  )
  const all = (await Promise.all(requests.map((request) => generate(engine, request)))).map(({ times }) => times)
  if (all.some((times) => times.length < tokens)) throw new Error('a sequence ended early')
  return speedTogether(all)
}

/** @returns prompt tokens per second until the first token is here */
export async function prefillSpeed(
  engine: Engine,
  promptTokens: number,
  salt: number,
  sampling: SamplingSpec,
): Promise<number> {
  const startMs = performance.now()
  const { times } = await generate(engine, requestOf(engine, promptTokens, 1, salt, sampling))
  return (promptTokens * 1_000) / ((times[0] ?? Number.NaN) - startMs)
}
