/** What an order asks a worker to compute: tokens that are streamed on the way, or vectors that come all at once. */
import { FabricError } from '../../core/errors.ts'
import type { JobId, UserId } from '../../core/ids.ts'
import type { ReplicaInputs } from '../../core/log/inputs.ts'
import type { Intent } from '../../core/log/intent.ts'
import { jobSeed } from '../../core/verification/gumbel.ts'
import { isVerifiable } from '../../core/verification/replayable.ts'
import { wordsOf } from '../../core/verification/vectors.ts'
import type { FinishReason, GenerateRequest } from '../../models/backend.ts'
import type { ChunkWriter } from './chunk-writer.ts'
import type { NodeModel } from './model.ts'
import type { Preparations } from './prepare.ts'
import { samplingSpec } from './sampling.ts'

export type Work = {
  readonly jobId: JobId
  /** Who pays. */
  readonly user: UserId
  readonly intent: Intent
  readonly inputs: ReplicaInputs
  /** What another worker has said of the output already; absent or empty: nothing. */
  readonly prefix?: { readonly ids: readonly number[]; readonly text: string }
}
/** `stopping` ends the computation early and keeps what there is; `gone` means that nobody waits for it any more. */
export type RunSignals = { readonly stopping: AbortSignal; readonly gone: AbortSignal }
export type Computed = {
  /** Token ids, or the bits of the vectors. */
  readonly ids: readonly number[]
  readonly text: string
  readonly finish: FinishReason
  /** Prompt chunk sizes; none of an embedding job. */
  readonly schedule: readonly number[]
}

/**
 * @param preparations  where the work may have been begun before its order came
 * @throws FabricError CF_JOB_INVALID when the words are not as many tokens as the intent says, CF_MESH_STREAM_BROKEN, CF_WORKER_*, CF_MODEL_*
 */
export async function compute(
  model: NodeModel,
  work: Work,
  writer: ChunkWriter,
  signals: RunSignals,
  preparations?: Preparations,
): Promise<Computed> {
  const { task } = work.intent
  const computed =
    task === 'embedding'
      ? await embed(model, work, signals)
      : await generate(model, work, writer, task, signals, preparations)
  if (signals.gone.aborted) throw new FabricError('CF_MESH_STREAM_BROKEN')
  return computed
}

const NO_PREFIX = { ids: [], text: '' }

async function generate(
  model: NodeModel,
  work: Work,
  writer: ChunkWriter,
  task: 'chat' | 'completion',
  { stopping }: RunSignals,
  preparations: Preparations | undefined,
): Promise<Computed> {
  const request = await requestOf(model, task, work)
  const { ids: prefixIds, text: prefixText } = work.prefix ?? NO_PREFIX
  const begun = prefixIds.length === 0 ? preparations?.take(work.jobId, work.inputs.seedNonce, stopping) : undefined
  // Said again, as if it had been chosen here: what this worker commits to is the whole output.
  if (prefixIds.length > 0) await writer.tokens(prefixIds, prefixText)
  let finish: FinishReason = 'aborted'
  for await (const batch of begun ?? model.generate(request, stopping)) {
    await writer.tokens(batch.ids, batch.text, batch.details)
    finish = batch.finish ?? finish
  }
  return { ids: writer.ids, text: writer.text, finish, schedule: model.schedule(request.promptIds.length) }
}

/**
 * What the job's own words, seed and bounds make of a generation: the same for every worker.
 *
 * @throws FabricError CF_JOB_INVALID when the words are not as many tokens as the intent says, CF_WORKER_*, CF_MODEL_*
 */
export async function requestOf(
  model: NodeModel,
  task: 'chat' | 'completion',
  { jobId, user, intent, inputs, prefix }: Work,
): Promise<GenerateRequest> {
  const { payload, seedNonce } = inputs
  const promptIds = await model.promptIds(task, payload)
  checkCount(promptIds.length, intent)
  const { sampling, stop, maxTokens } = intent
  const seed = jobSeed(jobId, seedNonce)
  const { grammar, logitBias, tools, logprobs } = payload
  return {
    ...{ promptIds, sampling: samplingSpec(sampling, seed, logitBias), seed, maxTokens, stop },
    ...(prefix === undefined || prefix.ids.length === 0 ? {} : { prefixIds: Uint32Array.from(prefix.ids) }),
    ...(logprobs === 0 ? {} : { topLogprobs: logprobs - 1 }),
    ...(grammar === '' ? {} : { grammar }),
    // A call may begin with a control token, and so may thoughts.
    ...(task === 'chat' && (tools !== '' || model.now().thinkFormat !== undefined) ? { showControl: true } : {}),
    // What can be checked is computed from its first token: a beginning from elsewhere need not have the same bits.
    ...(isVerifiable(sampling) ? {} : { cacheKey: user }),
  }
}

async function embed(model: NodeModel, { intent, inputs }: Work, { stopping }: RunSignals): Promise<Computed> {
  const nothing: Computed = { ids: [], text: '', finish: 'aborted', schedule: [] }
  if (stopping.aborted) return nothing
  try {
    const { vectors, tokenCounts } = await model.embed(inputs.payload.texts, stopping)
    checkCount(
      tokenCounts.reduce((sum, count) => sum + count, 0),
      intent,
    )
    return { ...nothing, ids: [...wordsOf(vectors)], finish: 'stop' }
  } catch (error) {
    if (stopping.aborted) return nothing
    throw error
  }
}

/** The price depends on it: a worker computes no more than was paid for. */
function checkCount(promptTokens: number, intent: Intent): void {
  if (promptTokens !== intent.promptTokens) throw new FabricError('CF_JOB_INVALID', { prompt_tokens: promptTokens })
}
