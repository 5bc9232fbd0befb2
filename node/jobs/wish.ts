/** What a caller wishes, in the terms of an intent: words within their bounds, how many tokens they are, how to sample. */
import { utf8 } from '../../core/codec/bytes.ts'
import { isTextWithin } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { isModelFor } from '../../core/job/judge.ts'
import { LIMITS } from '../../core/limits.ts'
import { isNeutral, NEUTRAL, NO_SAMPLING, type Sampling } from '../../core/log/intent.ts'
import type { LoadedModel } from '../../models/backend.ts'
import type { JobInput, JobRequest } from '../runtime/app.ts'
import type { NodeModel, Words } from './model.ts'

const MAX_TOKENS_DEFAULT = 1_024
/** More than MessagePack adds to a text, or salt and seed nonce to all of them. */
const TEXT_OVERHEAD_BYTES = 128

/** @throws FabricError CF_JOB_INVALID for words that no payload can carry */
export function wordsIn(input: JobInput): Words {
  switch (input.task) {
    case 'chat': {
      const { messages } = input
      const contents = messages.map(({ content }) => content)
      return { messages: within(messages, contents, LIMITS.messageCountMax, 'messages'), texts: [] }
    }
    case 'completion':
      return { messages: [], texts: within([input.prompt], [input.prompt], 1, 'prompt') }
    case 'embedding':
      return { messages: [], texts: within(input.texts, input.texts, LIMITS.embeddingTextCountMax, 'input') }
  }
}

/** Bounds of the payload's codec, asked of what came from outside. */
function within<T>(items: readonly T[], texts: readonly string[], countMax: number, field: string): readonly T[] {
  const bytes = texts.reduce((sum, text) => sum + utf8(text).length + TEXT_OVERHEAD_BYTES, TEXT_OVERHEAD_BYTES)
  const sound = texts.every((text) => isTextWithin(text, LIMITS.messageBytesMax))
  if (texts.length < 1 || texts.length > countMax || !sound || bytes > LIMITS.payloadBytesMax)
    throw new FabricError('CF_JOB_INVALID', { field })
  return items
}

/** @throws FabricError CF_JOB_INVALID */
export function checkStop({ stop = [], topLogprobs = 0 }: JobRequest): readonly string[] {
  const sound = stop.every((ending) => ending !== '' && isTextWithin(ending, LIMITS.stopBytesMax))
  if (stop.length > LIMITS.stopCountMax || !sound) throw new FabricError('CF_JOB_INVALID', { field: 'stop' })
  if (topLogprobs > LIMITS.topLogprobsCountMax) throw new FabricError('CF_JOB_INVALID', { field: 'top_logprobs' })
  return stop
}

/** Anything but temperature and top-k asks for a sampler that nobody else can replay: the intent says so, and so does the job. */
export function samplingOf(request: JobRequest): Sampling {
  if (request.input.task === 'embedding') return NO_SAMPLING
  const { temperatureMilli, topK } = request
  const rules = {
    ...{ temperatureMilli, topK, topPMilli: request.topPMilli ?? NEUTRAL.topPMilli },
    frequencyPenaltyMilli: request.frequencyPenaltyMilli ?? NEUTRAL.frequencyPenaltyMilli,
    presencePenaltyMilli: request.presencePenaltyMilli ?? NEUTRAL.presencePenaltyMilli,
  }
  return { kind: isNeutral(rules) ? 'gumbel-v1' : 'llama', ...rules }
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
