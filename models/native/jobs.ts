/** A daemon's requests as the native engine takes them. */
import { FabricError } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import type { AuditColumns } from '../audited.ts'
import type { AuditRequest, GenerateRequest, SamplingSpec } from '../backend.ts'
import { promptSchedule } from '../schedule.ts'
import type { NativeAudit, NativeAudited, NativeFailure, NativeGenerate, NativeSampling } from './addon.ts'

export function generateJob(call: number, request: GenerateRequest): NativeGenerate {
  return {
    call,
    prompt: request.promptIds,
    chunks: Uint32Array.from(promptSchedule(request.promptIds.length)),
    prefix: request.prefixIds ?? new Uint32Array(0),
    sampling: samplingOf(request.sampling, request.seed),
    isLow: false,
    grammar: request.grammar ?? '',
    maxTokens: request.maxTokens,
    stop: request.stop,
    topLogprobs: request.topLogprobs ?? -1,
    showControl: request.showControl ?? false,
    cacheKey: request.cacheKey ?? '',
  }
}

/** People wait for words, nobody waits for an audit. */
export function auditJob(call: number, request: AuditRequest): NativeAudit {
  return {
    call,
    prompt: request.promptIds,
    chunks: Uint32Array.from(request.chunks),
    output: request.outputIds,
    sampling: samplingOf(request.sampling, request.seed),
    isLow: true,
  }
}

function samplingOf(sampling: SamplingSpec, seed: Uint8Array): NativeSampling {
  if (sampling.kind === 'gumbel-v1')
    return { kind: 'gumbel', temperature: sampling.temperatureMilli / 1000, topK: sampling.topK, seed }
  const { logitBias = [], kind, ...rest } = sampling
  // Of two for one id the last holds, as in lock-step.
  const biases = new Map(logitBias)
  return { kind, ...rest, biasIds: Uint32Array.from(biases.keys()), biases: Float32Array.from(biases.values()) }
}

export function auditColumns({ margins, ranks, counts, ids, logits }: NativeAudited): AuditColumns {
  return {
    ...{ margins: new Float64Array(aligned(margins)), ranks: new Int32Array(aligned(ranks)) },
    ...{ counts: new Int32Array(aligned(counts)), ids: new Int32Array(aligned(ids)) },
    logits: new Float32Array(aligned(logits)),
  }
}

/** The add-on gives each list a buffer of its own. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  invariant(bytes.byteOffset === 0 && bytes.buffer instanceof ArrayBuffer, 'a list fills its buffer')
  return bytes.buffer
}

export function failureOf(failure: NativeFailure): FabricError {
  switch (failure) {
    case 'queue_full':
      return new FabricError('CF_WORKER_QUEUE_FULL')
    case 'grammar_invalid':
      return new FabricError('CF_JOB_INVALID', { field: 'grammar' })
    case 'grammar_stuck':
      return new FabricError('CF_JOB_INVALID', { field: 'grammar', reason: 'stuck' })
    case 'decode_failed':
      return new FabricError('CF_WORKER_COMPUTE_FAILED', { reason: failure })
  }
}
