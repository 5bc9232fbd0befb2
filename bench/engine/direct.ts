/** The native engine alone: its add-on without frames, daemon or checks around it. */
import { type EngineAddon, type NativeEngine, type NativeModel, parseEngineAddon } from '../../models/native/addon.ts'
import { generateJob } from '../../models/native/jobs.ts'
import { pathsOf, readLibraries } from '../../models/native/libraries.ts'
import { findLibraries } from '../../models/native/probe.ts'
import { readStepBody } from '../../models/step-body.ts'
import { loadEngineAddon } from '../../native/engine.ts'
import { forkSpeeds, type Opening, type SpeedChild, serveSpeeds } from './child.ts'
import { GUMBEL, idsOf, type Order, speedTogether } from './workload.ts'

const PREFILL_TOKENS_MAX = 512
const WAITING_MAX = 1_024

export function openDirect(opening: Opening): Promise<SpeedChild | undefined> {
  return forkSpeeds(import.meta.url, opening)
}

class Runner {
  readonly #times = new Map<number, number[]>()
  #nextCall = 1
  #running = 0
  #done: () => void = () => undefined

  async speed(engine: NativeEngine, { vocabSize }: NativeModel, order: Order): Promise<number> {
    this.#times.clear()
    this.#running = order.sequences
    const ended = new Promise<void>((resolve) => {
      this.#done = resolve
    })
    for (let salt = 0; salt < order.sequences; salt += 1) {
      const promptIds = idsOf(vocabSize, order.promptTokens, salt)
      const seed = new Uint8Array(32).fill(salt)
      const call = this.#nextCall++
      this.#times.set(call, [])
      const request = { promptIds, sampling: GUMBEL, seed, maxTokens: order.tokens, stop: [] }
      engine.generate(generateJob(call, request))
    }
    await ended
    return speedTogether([...this.#times.values()])
  }

  take(body: Uint8Array): void {
    const nowMs = performance.now()
    for (const { call, batch } of readStepBody(body) ?? []) {
      if (batch.ids.length > 0) this.#times.get(call)?.push(nowMs)
      if (batch.finish !== undefined) this.#running -= 1
    }
    if (this.#running === 0) this.#done()
  }
}

async function open(opening: Opening): Promise<((order: Order) => Promise<number>) | undefined> {
  const loaded = loadEngineAddon()
  const addon = 'addon' in loaded ? parseEngineAddon(loaded.addon) : undefined
  const found = await findLibraries(opening.gpu)
  const paths = found.type === 'found' ? pathsOf(await readLibraries(found.files)) : undefined
  if (addon === undefined || paths === undefined) return undefined
  addon.open(paths)
  return start(addon, opening)
}

async function start(addon: EngineAddon, opening: Opening): Promise<(order: Order) => Promise<number>> {
  const { path, contextTokens, threads, slots, gpu } = opening
  const isOnDevice = gpu !== 'off'
  const gpuLayers = isOnDevice ? -1 : 0
  const model = await addon.loadModel({ path, gpuLayers, tensorSplit: new Float32Array(), vocabOnly: false })
  const limits = { prefillTokensMax: PREFILL_TOKENS_MAX, waitingMax: WAITING_MAX, cachedSequences: 0 }
  const memory = { kvType: 'f16', flashAttention: true, offloadKv: isOnDevice } as const
  const runner = new Runner()
  const spec = { contextTokens, slotCount: slots, threads, ...limits, ...memory }
  const engine = await addon.createEngine(model, spec, (body) => runner.take(body))
  return (order) => runner.speed(engine, model, order)
}

serveSpeeds(open)
