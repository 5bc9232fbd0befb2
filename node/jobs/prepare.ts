/**
 * Generations that begin before their order: an edge that shares its process, and so its engine, with a worker of the draw has the
 * prompt read while the hold is being written and the validators vote.
 *
 * Why this tells nobody anything early: the words stay in this process, where the client left them, and no token goes to a worker before
 * it has checked the certificate of its order. What comes out is the same as if it had begun then, for the seed follows from the job.
 */
import { equalBytes } from '../../core/codec/bytes.ts'
import type { JobId, PeerId } from '../../core/ids.ts'
import type { Seed } from '../../core/log/inputs.ts'
import type { Payload } from '../../core/log/intent.ts'
import type { GenerateRequest, TokenBatch } from '../../models/backend.ts'
import { requestOf, type Work } from './compute.ts'
import type { NodeModel } from './model.ts'
import type { ModelRunner } from './runner.ts'

type Begun = {
  readonly seedNonce: Uint8Array
  readonly stop: AbortController
  readonly batches: AsyncGenerator<TokenBatch, void>
  readonly first: Promise<IteratorResult<TokenBatch, void>>
}
type Drawn = Omit<Work, 'inputs'> & {
  readonly payload: Payload
  /** In order of replica. */
  readonly seeds: readonly Seed[]
  /** The peers that will work if all of the draw accept. */
  readonly workers: readonly PeerId[]
}

export class Preparations {
  readonly #runner: ModelRunner
  readonly #workersHere: ReadonlySet<PeerId>
  readonly #begun = new Map<JobId, Begun>()

  /** @param workersHere  workers that take what is begun here */
  constructor(runner: ModelRunner, workersHere: ReadonlySet<PeerId>) {
    this.#runner = runner
    this.#workersHere = workersHere
  }

  /** Begins what a free slot of the engine can begin; anything else waits for its order. Whoever calls this calls `drop` in the end. */
  begin({ workers, payload, seeds, ...drawn }: Drawn): void {
    const { task, modelDigest } = drawn.intent
    const model = this.#runner.find(modelDigest)
    const slotCount = model?.loaded?.slotCount ?? 0
    const seed = seeds[workers.findIndex((peer) => this.#workersHere.has(peer))]
    if (model === undefined || task === 'embedding' || seed === undefined || this.#begun.has(drawn.jobId)) return
    const work = { ...drawn, inputs: { payload, seedNonce: seed.nonce } }
    if (model.running >= slotCount || this.#begun.size >= slotCount) return
    const stop = new AbortController()
    const batches = generate(model, requestOf(model, task, work), stop.signal)
    const begun: Begun = { stop, batches, first: batches.next(), seedNonce: work.inputs.seedNonce }
    this.#begun.set(work.jobId, begun)
    // The worker begins anew then, and meets what is still wrong itself.
    begun.first.catch(() => this.#forget(work.jobId, begun))
  }

  /** Hands what was begun to one worker; the others of its job begin themselves, as does one whose replica has another seed. */
  take(jobId: JobId, seedNonce: Uint8Array, stopping: AbortSignal): AsyncIterable<TokenBatch> | undefined {
    const begun = this.#begun.get(jobId)
    if (begun === undefined || !equalBytes(begun.seedNonce, seedNonce)) return undefined
    this.#begun.delete(jobId)
    return resume(begun, stopping)
  }

  /** Nobody will take it any more. */
  drop(jobId: JobId): void {
    const begun = this.#begun.get(jobId)
    if (begun === undefined) return
    this.#forget(jobId, begun)
    begun.stop.abort()
    begun.batches.return().catch(() => undefined)
  }

  /** What was begun ends; the node stops. */
  close(): void {
    for (const jobId of [...this.#begun.keys()]) this.drop(jobId)
  }

  #forget(jobId: JobId, begun: Begun): void {
    if (this.#begun.get(jobId) === begun) this.#begun.delete(jobId)
  }
}

async function* generate(
  model: NodeModel,
  request: Promise<GenerateRequest>,
  signal: AbortSignal,
): AsyncGenerator<TokenBatch, void> {
  yield* model.generate(await request, signal)
}

async function* resume({ stop, batches, first }: Begun, stopping: AbortSignal): AsyncGenerator<TokenBatch, void> {
  const end = (): void => stop.abort(stopping.reason)
  stopping.addEventListener('abort', end, { once: true })
  if (stopping.aborted) end()
  try {
    for (let step = await first; step.done !== true; step = await batches.next()) yield step.value
  } finally {
    stopping.removeEventListener('abort', end)
    await batches.return()
  }
}
