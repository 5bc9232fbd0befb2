/** `POST /v1/chat/completions` parsed at the door. What is not offered is refused by name, never dropped in silence. */
import { LIMITS } from '../../core/limits.ts'
import { type AnswerRequest, LABELS, readFabricMember, readStreaming } from './answer-request.ts'
import { type Fields, integer, object, optional, refuseUnknown } from './fields.ts'
import { jobsOf, readMessages, readModel } from './job-fields.ts'
import { emptyList, emptyObject, type Neutral, only, plainText, refuseNotOffered, textOnly } from './not-offered.ts'
import { badRequest } from './problem.ts'
import { readChatLogprobs, readChoiceCount, readSampling, SAMPLING_FIELDS } from './sampling-fields.ts'

const OFFERED = [
  ...['model', 'messages', 'max_tokens', 'max_completion_tokens', 'n', 'logprobs', 'top_logprobs'],
  ...['stream', 'stream_options', 'cfab'],
]

/** Each with the values that ask for nothing special. */
const NOT_OFFERED: Readonly<Record<string, Neutral>> = {
  logit_bias: emptyObject,
  best_of: only(1),
  tools: emptyList,
  tool_choice: only('none', 'auto'),
  parallel_tool_calls: only(true, false),
  functions: emptyList,
  function_call: only('none', 'auto'),
  response_format: plainText,
  modalities: textOnly,
  moderation: only(),
  audio: only(),
  prediction: only(),
  reasoning_effort: only('none'),
  verbosity: only(),
  web_search_options: only(),
  store: only(false),
  service_tier: only('auto', 'default'),
  prompt_cache_options: only(),
  prompt_cache_retention: only(),
}
const KNOWN = new Set([...OFFERED, ...SAMPLING_FIELDS, ...LABELS, ...Object.keys(NOT_OFFERED)])

/** @throws CF_CONTROL_BAD_REQUEST or CF_CONTROL_UNSUPPORTED, with `param` */
export function parseChatRequest(body: unknown, idempotencyKey: string | undefined): AnswerRequest {
  const fields = object(body, 'body')
  refuseUnknown(fields, KNOWN)
  refuseNotOffered(fields, NOT_OFFERED)
  const model = readModel(fields)
  const sampling = readSampling(fields)
  const maxTokens = readMaxTokens(fields)
  const topLogprobs = readChatLogprobs(fields)
  const input = { task: 'chat', messages: readMessages(fields) } as const
  const job = {
    model,
    ...sampling,
    ...readFabricMember(fields, idempotencyKey),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(topLogprobs === undefined ? {} : { topLogprobs }),
  }
  return {
    model,
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
