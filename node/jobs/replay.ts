/** An output, fed to the model again: what auditors, referees and readers of evidence do, each for its own reasons. */
import { FabricError } from '../../core/errors.ts'
import { isAuditable } from '../../core/verification/replayable.ts'
import type { AuditPosition } from '../../models/backend.ts'
import { requestOf, type Work } from './compute.ts'
import type { NodeModel } from './model.ts'

export type ReplayedOutput = {
  readonly ids: Uint32Array
  /** Prompt chunk sizes that its worker committed to. */
  readonly schedule: readonly number[]
}

/**
 * Feeds an output to the model in the one configuration that all who replay it share: the worker's own prompt chunks, then chunks of at
 * most 63 tokens, in a sequence of its own with nothing in the cache. What remains of a machine is in its engine's id.
 *
 * Why the worker's chunks: other chunks give other bits, and an honest worker must not lose by having read its prompt in one go.
 *
 * @returns one position for each output id
 * @throws  FabricError CF_MODEL_UNSUPPORTED for a sampling that nobody can replay; CF_JOB_INVALID when the words are not as many tokens
 *          as the intent says; CF_WORKER_*, CF_MODEL_*
 */
export async function replayOf(
  model: NodeModel,
  work: Work,
  { ids, schedule }: ReplayedOutput,
  signal: AbortSignal,
): Promise<readonly AuditPosition[]> {
  const { task } = work.intent
  if (task === 'embedding' || !isAuditable(work.intent)) throw new FabricError('CF_MODEL_UNSUPPORTED', { task })
  const { promptIds, sampling, seed } = await requestOf(model, task, work)
  const total = schedule.reduce((sum, tokens) => sum + tokens, 0)
  const isWhole = total === promptIds.length && schedule.every((tokens) => tokens > 0)
  // Chunks that do not make the prompt were nobody's: then this engine's own are as good as any.
  const chunks = isWhole ? schedule : model.schedule(promptIds.length)
  return model.audit({ promptIds, outputIds: ids, sampling, seed, chunks }, signal)
}
