/** The model behind an evidence file, loaded from a file of the reader's own and asked what it says of the output. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { FabricError } from '../core/errors.ts'
import type { JobId } from '../core/ids.ts'
import { openReplicaInputs } from '../core/log/inputs.ts'
import type { Case } from '../core/receipt/evidence-case.ts'
import type { Replay } from '../core/receipt/evidence-output.ts'
import { isAuditable } from '../core/verification/replayable.ts'
import type { CatalogueEntry } from '../models/catalogue.ts'
import { HOST_DEFAULTS, HostBackend } from './hosts/host-backend.ts'
import { defaultMemoryBytes, defaultThreads } from './hosts/machine.ts'
import { NodeModel } from './jobs/model.ts'
import { replayOf } from './jobs/replay.ts'
import { systemClock as clock } from './runtime/system.ts'

/** A model cannot read more than it was made for; what a job needs was within that. */
const SPARE_TOKENS = 8
const REPLAY_MS_MAX = 3_600_000

export type ModelAnswer =
  | { readonly status: 'replayed'; readonly replay: Replay }
  /** The case cannot be replayed, or the file is not the model that the job names. */
  | { readonly status: 'not_possible'; readonly why: string }

/**
 * Feeds the case's output to the model of a GGUF file.
 *
 * @throws FabricError CF_MODEL_STORE_FAILED for a file that cannot be read; CF_MODEL_LOAD_FAILED, CF_MODEL_OUT_OF_MEMORY, CF_WORKER_*
 */
export async function askModel(found: Case, path: string): Promise<ModelAnswer> {
  const { facts, file, ids, commitment } = found
  const { intent } = facts
  if (!isAuditable(intent)) return { status: 'not_possible', why: 'nobody can replay what this job sampled' }
  const inputs = openReplicaInputs(intent, file.replica, file.inputs)
  const digest = await sha256Of(path)
  if (digest !== intent.modelDigest)
    return { status: 'not_possible', why: `the job's model is ${intent.modelDigest}, the file ${digest}` }
  if (inputs.action !== 'accept' || ids === undefined || commitment === undefined)
    return { status: 'not_possible', why: 'the file has no prompt, or no output that was committed to' }
  const contextTokens = intent.promptTokens + Math.max(1, ids.length) + SPARE_TOKENS
  const entry = await entryOf(path, digest, contextTokens)
  const backend = new HostBackend(HOST_DEFAULTS, { clock, onEvent: () => undefined })
  try {
    const model = new NodeModel(entry, backend, 0)
    const { vocabSize, stopIds, dimensions, engineId } = await model.load({
      ...{ format: 'gguf', path, digest, contextTokens, slotCount: 1, threads: defaultThreads(), gpu: 'off' },
      memoryBytesMax: defaultMemoryBytes(),
    })
    const work = { jobId: facts.jobId as JobId, user: facts.user, intent, inputs: inputs.value }
    const output = { ids, schedule: commitment.schedule }
    const positions = await replayOf(model, work, output, AbortSignal.timeout(REPLAY_MS_MAX))
    return { status: 'replayed', replay: { engineId, facts: { vocabSize, stopIds, dimensions }, positions } }
  } finally {
    await backend.close()
  }
}

async function entryOf(path: string, digest: string, contextTokens: number): Promise<CatalogueEntry> {
  const { size } = await stat(path)
  return {
    ...{ id: 'evidence', task: 'chat', format: 'gguf', path, digest, bytes: size, contextTokens, dimensions: 0 },
    ...{ megaParams: 0, parameters: '', quantisation: '', licence: '', templateDigest: '', createdMs: 0 },
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const part of createReadStream(path)) hash.update(part as Uint8Array)
  } catch (error) {
    throw new FabricError('CF_MODEL_STORE_FAILED', { file: path }, error)
  }
  return hash.digest('hex')
}
