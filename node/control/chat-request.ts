/** `POST /v1/chat/completions` parsed at the door. What is not offered is refused by name, never dropped in silence. */
import { LIMITS } from '../../core/limits.ts'
import type { JobRequest } from '../runtime/app.ts'
import { type Fields, flag, integer, object, optional, refuseUnknown } from './fields.ts'
import { FABRIC_FIELDS, readFabricOptions, readMessages, readModel, readSampling } from './job-fields.ts'
import { badRequest, unsupported } from './problem.ts'

export type ChatRequest = { readonly job: JobRequest; readonly stream: boolean; readonly includeUsage: boolean }

const OFFERED = [
  'model',
  'messages',
  'temperature',
  'top_k',
  'max_tokens',
  'max_completion_tokens',
  'stream',
  'stream_options',
  'seed',
  'cfab',
]
/** Labels for the caller's own books: they change nothing about the answer. */
const LABELS = ['user', 'metadata', 'safety_identifier', 'prompt_cache_key']

type Neutral = (value: unknown) => boolean
const only =
  (...values: readonly unknown[]): Neutral =>
  (value) =>
    values.includes(value)
const emptyList: Neutral = (value) => Array.isArray(value) && value.length === 0
const emptyObject: Neutral = (value) =>
  typeof value === 'object' && !Array.isArray(value) && Object.keys(value ?? {}).length === 0
const textOnly: Neutral = (value) => Array.isArray(value) && value.length === 1 && value[0] === 'text'
const plainText: Neutral = (value) => {
  const fields = object(value, 'response_format')
  return fields['type'] === 'text' && Object.keys(fields).length === 1
}

/** Parameters of the OpenAI API that are not offered, each with the values that ask for nothing special; null always does. */
const NOT_OFFERED: Readonly<Record<string, Neutral>> = {
  n: only(1),
  top_p: only(1),
  frequency_penalty: only(0),
  presence_penalty: only(0),
  logit_bias: emptyObject,
  logprobs: only(false),
  top_logprobs: only(0),
  stop: emptyList,
  tools: emptyList,
  tool_choice: only('none', 'auto'),
  parallel_tool_calls: only(true, false),
  functions: emptyList,
  function_call: only('none', 'auto'),
  response_format: plainText,
  modalities: textOnly,
  audio: only(),
  prediction: only(),
  reasoning_effort: only('none'),
  verbosity: only(),
  web_search_options: only(),
  store: only(false),
  service_tier: only('auto', 'default'),
  prompt_cache_retention: only(),
}
const KNOWN = new Set([...OFFERED, ...LABELS, ...Object.keys(NOT_OFFERED)])
const STREAM_OPTION_FIELDS = new Set(['include_usage', 'include_obfuscation'])

/** @throws CF_CONTROL_BAD_REQUEST or CF_CONTROL_UNSUPPORTED, with `param` */
export function parseChatRequest(body: unknown, idempotencyKey: string | undefined): ChatRequest {
  const fields = object(body, 'body')
  refuseUnknown(fields, KNOWN)
  refuseNotOffered(fields)
  const stream = optional(fields, 'stream', flag) ?? false
  const fabric = optional(fields, 'cfab', object) ?? {}
  refuseUnknown(fabric, FABRIC_FIELDS, 'cfab.')
  const maxTokens = readMaxTokens(fields)
  return {
    stream,
    includeUsage: readIncludeUsage(fields, stream),
    job: {
      model: readModel(fields),
      messages: readMessages(fields),
      ...readSampling(fields),
      ...readFabricOptions(fabric, idempotencyKey, 'cfab.'),
      ...(maxTokens === undefined ? {} : { maxTokens }),
    },
  }
}

function refuseNotOffered(fields: Fields): void {
  for (const [name, neutral] of Object.entries(NOT_OFFERED)) {
    const value = fields[name]
    if (value !== undefined && value !== null && !neutral(value)) throw unsupported(name, 'its default value')
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

function readIncludeUsage(fields: Fields, stream: boolean): boolean {
  const options = optional(fields, 'stream_options', object)
  if (options === undefined) return false
  if (!stream) throw badRequest('stream_options', 'to be absent unless stream is true')
  refuseUnknown(options, STREAM_OPTION_FIELDS, 'stream_options.')
  if (optional(options, 'include_obfuscation', flag, 'stream_options.') === true) {
    throw unsupported('stream_options.include_obfuscation', 'false')
  }
  return optional(options, 'include_usage', flag, 'stream_options.') ?? false
}
