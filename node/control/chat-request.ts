/** `POST /v1/chat/completions` parsed at the door. What is not offered is refused by name, never dropped in silence. */
import { LIMITS } from '../../core/limits.ts'
import type { ChatInput } from '../runtime/app.ts'
import { type AnswerRequest, LABELS, readFabricMember, readStreaming } from './answer-request.ts'
import { CHAT_FIELDS, readChat } from './chat-fields.ts'
import { type Fields, integer, object, optional, refuseUnknown } from './fields.ts'
import { jobsOf, readModel } from './job-fields.ts'
import { emptyList, type Neutral, only, refuseNotOffered, textOnly } from './not-offered.ts'
import { badRequest } from './problem.ts'
import { readChatLogprobs, readChoiceCount, readSampling, SAMPLING_FIELDS } from './sampling-fields.ts'

const OFFERED = [
  ...['model', 'max_tokens', 'max_completion_tokens', 'n', 'logprobs', 'top_logprobs', 'stream', 'stream_options'],
  'cfab',
]

/** Each with the values that ask for nothing special. */
const NOT_OFFERED: Readonly<Record<string, Neutral>> = {
  best_of: only(1),
  functions: emptyList,
  function_call: only('none', 'auto'),
  modalities: textOnly,
  moderation: only(),
  audio: only(),
  prediction: only(),
  verbosity: only(),
  web_search_options: only(),
  store: only(false),
  service_tier: only('auto', 'default'),
  prompt_cache_options: only(),
  prompt_cache_retention: only(),
}
const KNOWN = new Set<string>([...OFFERED, ...CHAT_FIELDS, ...SAMPLING_FIELDS, ...LABELS, ...Object.keys(NOT_OFFERED)])

export type ChatRequest = AnswerRequest & {
  readonly input: ChatInput
  /** Whether the answer is of a form, which leaves no room for thoughts. */
  readonly hasForm: boolean
}

/** @throws CF_CONTROL_BAD_REQUEST or CF_CONTROL_UNSUPPORTED, with `param` */
export function parseChatRequest(body: unknown, idempotencyKey: string | undefined): ChatRequest {
  const fields = object(body, 'body')
  refuseUnknown(fields, KNOWN)
  refuseNotOffered(fields, NOT_OFFERED)
  const model = readModel(fields)
  const sampling = readSampling(fields)
  const maxTokens = readMaxTokens(fields)
  const topLogprobs = readChatLogprobs(fields)
  const { input, ...form } = readChat(fields)
  const job = {
    model,
    ...form,
    ...sampling,
    ...readFabricMember(fields, idempotencyKey),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(topLogprobs === undefined ? {} : { topLogprobs }),
  }
  return {
    ...{ model, input, hasForm: form.grammar !== undefined },
    jobs: jobsOf(
      Array.from({ length: readChoiceCount(fields) }, () => input),
      job,
    ),
    stop: sampling.stop ?? [],
    hasLogprobs: topLogprobs !== undefined,
    ...readStreaming(fields),
  }
}

function readMaxTokens(fields: Fields): number | undefined {
  const count = integer(1, LIMITS.maxTokensMax)
  const older = optional(fields, 'max_tokens', count)
  const newer = optional(fields, 'max_completion_tokens', count)
  if (older !== undefined && newer !== undefined && older !== newer)
    throw badRequest('max_tokens', 'to equal max_completion_tokens')
  return newer ?? older
}
