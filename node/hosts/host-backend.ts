/** The daemon's Backend: every call goes to the compute host of the moment. The object outlives any number of hosts. */
import { FabricError } from '../../core/errors.ts'
import { positionsOf } from '../../models/audited.ts'
import type {
  AuditPosition,
  AuditRequest,
  Backend,
  BackendMetrics,
  ChatMessage,
  DetokenizeRequest,
  Embedded,
  GenerateRequest,
  LoadedModel,
  LoadRequest,
  RenderOptions,
  TokenBatch,
} from '../../models/backend.ts'
import {
  checkAudit,
  checkDetokenize,
  checkEmbed,
  checkGenerate,
  checkLoad,
  checkOperation,
} from '../../models/requests.ts'
import { promptSchedule } from '../../models/schedule.ts'
import type { Clock } from '../runtime/ports.ts'
import { withinMs } from './deadline.ts'
import type { HostProcess } from './host-process.ts'
import { type HostPorts, type HostState, HostSupervisor, type SupervisorOptions } from './supervisor.ts'

export type HostBackendOptions = SupervisorOptions & {
  /** Calls that compute and may wait beyond those that run. */
  readonly waitingCountMax: number
  /** How long `close` waits for embeddings. */
  readonly drainMs: number
}

export const HOST_DEFAULTS: HostBackendOptions = {
  waitingCountMax: 32,
  drainMs: 5_000,
  loadMs: 300_000,
  readyMs: 30_000,
  silenceMs: 120_000,
  backoffMinMs: 50,
  backoffMaxMs: 15_000,
  stableMs: 60_000,
  failedAfterCount: 5,
  stderr: 'ignore',
}

const IDLE: Omit<BackendMetrics, 'slotCount'> = {
  ...{ slotsBusy: 0, jobsWaiting: 0, tokensDecoded: 0, tokensPrefilled: 0, tokensFromCache: 0, steps: 0, stepMs: 0 },
  residentBytes: 0,
}
const ABORTED: TokenBatch = { slot: 0, ids: [], logprobs: [], text: '', finish: 'aborted' }

export class HostBackend implements Backend {
  readonly #waitingCountMax: number
  readonly #drainMs: number
  readonly #clock: Clock
  readonly #supervisor: HostSupervisor
  readonly #embedding = new Set<Promise<Embedded>>()
  #admitted = 0

  constructor(options: HostBackendOptions, ports: HostPorts) {
    this.#waitingCountMax = options.waitingCountMax
    this.#drainMs = options.drainMs
    this.#clock = ports.clock
    this.#supervisor = new HostSupervisor(options, ports)
  }

  /** For `status`. */
  get state(): HostState {
    return this.#supervisor.state
  }

  /** Process id of the compute host, or undefined while none is ready. */
  get pid(): number | undefined {
    return this.#supervisor.ready?.pid
  }

  /** What runs when another model is loaded ends as aborted. */
  async load(request: LoadRequest): Promise<LoadedModel> {
    checkLoad(request)
    // Its host is about to be killed: whether it still answers does not matter.
    await this.abort().catch(() => undefined)
    return this.#supervisor.load(request)
  }

  async render(messages: readonly ChatMessage[], options: RenderOptions = {}): Promise<string> {
    checkOperation('render', this.#supervisor.model())
    const host = await this.#supervisor.whenReady()
    return host.ask(
      (call) => ({ type: 'render', call, messages, options }),
      (frame) => (frame.type === 'rendered' ? frame.text : undefined),
    )
  }

  async tokenize(text: string, parseSpecial: boolean): Promise<Uint32Array> {
    const host = await this.#supervisor.whenReady()
    return host.ask(
      (call) => ({ type: 'tokenize', call, text, parseSpecial }),
      (frame) => (frame.type === 'tokenized' ? frame.ids : undefined),
    )
  }

  async detokenize(request: DetokenizeRequest): Promise<string> {
    checkDetokenize(request, this.#supervisor.model())
    const host = await this.#supervisor.whenReady()
    return host.ask(
      (call) => ({ type: 'detokenize', call, request }),
      (frame) => (frame.type === 'detokenized' ? frame.text : undefined),
    )
  }

  schedule(promptTokens: number): readonly number[] {
    return promptSchedule(promptTokens)
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<TokenBatch> {
    const model = this.#supervisor.model()
    checkGenerate(request, model)
    this.#admit(model)
    try {
      const host = await unlessAborted(this.#supervisor.whenReady(signal), signal)
      if (host === undefined) yield ABORTED
      else yield* batchesOf(host, request, signal)
    } finally {
      this.#admitted -= 1
    }
  }

  async audit(request: AuditRequest, signal: AbortSignal): Promise<readonly AuditPosition[]> {
    const model = this.#supervisor.model()
    checkAudit(request, model)
    this.#admit(model)
    try {
      const host = await this.#supervisor.whenReady(signal)
      const columns = await host.ask(
        (call) => ({ type: 'audit', call, request }),
        (frame) => (frame.type === 'audited' ? frame.columns : undefined),
        signal,
      )
      return positionsOf(columns)
    } finally {
      this.#admitted -= 1
    }
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedded> {
    const model = this.#supervisor.model()
    checkEmbed(texts, model)
    this.#admit(model)
    const work = this.#embedOn(texts, signal)
    this.#embedding.add(work)
    try {
      return await work
    } finally {
      this.#embedding.delete(work)
      this.#admitted -= 1
    }
  }

  async abort(): Promise<void> {
    await this.#supervisor.ready?.ask(
      (call) => ({ type: 'abort', call }),
      (frame) => (frame.type === 'aborted' ? true : undefined),
    )
  }

  /** While there is no host, nothing is busy or resident. */
  async metrics(): Promise<BackendMetrics> {
    const { slotCount } = this.#supervisor.model()
    const host = this.#supervisor.ready
    if (host === undefined) return { ...IDLE, slotCount }
    return host.ask(
      (call) => ({ type: 'metrics', call }),
      (frame) => (frame.type === 'measured' ? frame.metrics : undefined),
    )
  }

  /** Texts that are being embedded get their vectors first; nothing new is taken meanwhile. */
  async close(): Promise<void> {
    const work = Promise.allSettled(this.#embedding)
    const drained = withinMs(this.#clock, this.#drainMs, work)
    await this.#supervisor.close(drained)
  }

  async #embedOn(texts: readonly string[], signal: AbortSignal): Promise<Embedded> {
    const host = await this.#supervisor.whenReady(signal)
    const { vectors, tokenCounts } = await host.ask(
      (call) => ({ type: 'embed', call, texts }),
      (frame) => (frame.type === 'embedded' ? frame.embedded : undefined),
      signal,
    )
    // They lie in the frame that brought them: whoever keeps one would keep them all.
    return { vectors: vectors.map((vector) => vector.slice()), tokenCounts }
  }

  #admit(model: LoadedModel): void {
    const countMax = model.slotCount + this.#waitingCountMax
    if (this.#admitted >= countMax) throw new FabricError('CF_WORKER_QUEUE_FULL', { countMax })
    this.#admitted += 1
  }
}

async function* batchesOf(host: HostProcess, request: GenerateRequest, signal: AbortSignal): AsyncIterable<TokenBatch> {
  const { queue, cancel, close } = host.open((call) => ({ type: 'generate', call, request }))
  signal.addEventListener('abort', cancel, { once: true })
  // Between finding the host and this line it may have been aborted.
  if (signal.aborted) cancel()
  let isOver = false
  try {
    while (!isOver) {
      const batch = await queue.next()
      isOver = batch.finish !== undefined
      yield batch
    }
  } finally {
    // Also when the caller stops iterating: nobody reads on, so nothing need be computed on.
    if (!isOver) cancel()
    signal.removeEventListener('abort', cancel)
    close()
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  }
}
