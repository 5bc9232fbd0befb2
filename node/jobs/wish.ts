/** What a caller wishes, in the terms of an intent: words within their bounds, how many tokens they are, how to sample. */
import { isTextWithin } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { isModelFor } from '../../core/job/judge.ts'
import { LIMITS } from '../../core/limits.ts'
import { isNeutral, NEUTRAL, NO_SAMPLING, type Payload, type Sampling } from '../../core/log/intent.ts'
import type { LoadedModel } from '../../models/backend.ts'
import type { JobRequest } from '../runtime/app.ts'
import type { NodeModel } from './model.ts'
import type { Words } from './words.ts'

const MAX_TOKENS_DEFAULT = 1_024

/** @throws FabricError CF_JOB_INVALID */
export function checkStop({ stop = [], topLogprobs = 0 }: JobRequest): readonly string[] {
  const sound = stop.every((ending) => ending !== '' && isTextWithin(ending, LIMITS.stopBytesMax))
  if (stop.length > LIMITS.stopCountMax || !sound) throw new FabricError('CF_JOB_INVALID', { field: 'stop' })
  if (topLogprobs > LIMITS.topLogprobsCountMax) throw new FabricError('CF_JOB_INVALID', { field: 'top_logprobs' })
  return stop
}

/**
 * Anything but temperature and top-k asks for a sampler that nobody else can replay: the intent says so, and so does the job.
 *
 * @param form  grammar of the answer, '' for none
 */
export function samplingOf(request: JobRequest, form: string): Sampling {
  if (request.input.task === 'embedding') return NO_SAMPLING
  const { temperatureMilli, topK, logitBias = [] } = request
  const rules = {
    ...{ temperatureMilli, topK, topPMilli: request.topPMilli ?? NEUTRAL.topPMilli },
    frequencyPenaltyMilli: request.frequencyPenaltyMilli ?? NEUTRAL.frequencyPenaltyMilli,
    presencePenaltyMilli: request.presencePenaltyMilli ?? NEUTRAL.presencePenaltyMilli,
  }
  const isReplayable = isNeutral(rules) && form === '' && logitBias.length === 0
  return { kind: isReplayable ? 'gumbel-v1' : 'llama', ...rules }
}

/** @throws FabricError CF_JOB_INVALID for biases of no token of the model */
export function biasOf({ logitBias = [] }: JobRequest, { vocabSize }: LoadedModel): Payload['logitBias'] {
  const stray = logitBias.find(({ id }) => id >= vocabSize)
  if (stray !== undefined || logitBias.length > LIMITS.logitBiasCountMax)
    throw new FabricError('CF_JOB_INVALID', { param: 'logit_bias', id: stray?.id ?? 0, vocabulary: vocabSize })
  return logitBias
}

type Size = { readonly promptTokens: number; readonly maxTokens: number }

/** @throws FabricError CF_JOB_CONTEXT_EXCEEDED, CF_JOB_INVALID */
export async function sizeOf(
  model: NodeModel,
  { contextTokens, dimensions }: LoadedModel,
  { input, maxTokens: wished }: JobRequest,
  words: Words,
): Promise<Size> {
  if (input.task === 'embedding') return embeddingSize(await model.counts(words.texts), contextTokens, dimensions)
  const promptTokens = (await model.promptIds(input.task, words)).length
  if (promptTokens === 0) throw new FabricError('CF_JOB_INVALID', { field: 'prompt' })
  const room = contextTokens - promptTokens
  const maxTokens = wished ?? Math.min(MAX_TOKENS_DEFAULT, room)
  if (room < 1 || maxTokens > room)
    throw new FabricError('CF_JOB_CONTEXT_EXCEEDED', { promptTokens, maxTokens, contextTokens })
  return { promptTokens, maxTokens }
}

function embeddingSize(counts: readonly number[], contextTokens: number, dimensions: number): Size {
  const long = counts.findIndex((tokens) => tokens > contextTokens)
  if (long >= 0)
    throw new FabricError('CF_JOB_CONTEXT_EXCEEDED', { index: long, tokens: counts[long] ?? 0, contextTokens })
  const index = counts.indexOf(0)
  if (index >= 0) throw new FabricError('CF_JOB_INVALID', { field: 'input', index })
  const size = { promptTokens: counts.reduce((sum, tokens) => sum + tokens, 0), maxTokens: counts.length }
  if (!isModelFor({ task: 'embedding', ...size }, { dimensions }))
    throw new FabricError('CF_JOB_INVALID', { field: 'input', texts: counts.length })
  return size
}
