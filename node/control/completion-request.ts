/** `POST /v1/completions` parsed at the door: one or several prompts, each continued `n` times. */
import { LIMITS } from '../../core/limits.ts'
import { type AnswerRequest, LABELS, readFabricMember, readStreaming } from './answer-request.ts'
import { CONTROL_LIMITS } from './bounds.ts'
import { type Fields, flag, integer, object, optional, refuseUnknown, text } from './fields.ts'
import { jobsOf, readModel } from './job-fields.ts'
import { type Neutral, only, refuseNotOffered } from './not-offered.ts'
import { badRequest, unsupported } from './problem.ts'
import { readChoiceCount, readSampling, SAMPLING_FIELDS } from './sampling-fields.ts'

/** Text, or token ids as they are. */
export type Prompt = string | readonly number[]

export type CompletionRequest = AnswerRequest & {
  /** The prompt of each choice, in the order of their indexes. */
  readonly prompts: readonly Prompt[]
  /** Whether the request named a list: errors then say which prompt they mean. */
  readonly isList: boolean
  readonly choicesPerPrompt: number
  readonly echo: boolean
}

/** What the API's reference says for a request that names none. */
const MAX_TOKENS_DEFAULT = 16
const LOGPROBS_MAX = 5
const TOKEN_ID_MAX = 2 ** 32 - 1
const OFFERED = [
  'model',
  'prompt',
  'max_tokens',
  'n',
  'best_of',
  'logprobs',
  'echo',
  'stream',
  'stream_options',
  'cfab',
]
const NOT_OFFERED: Readonly<Record<string, Neutral>> = { suffix: only('') }
const KNOWN = new Set([...OFFERED, ...SAMPLING_FIELDS, ...LABELS, ...Object.keys(NOT_OFFERED)])

/** @throws CF_CONTROL_BAD_REQUEST or CF_CONTROL_UNSUPPORTED, with `param` */
export function parseCompletionRequest(body: unknown, idempotencyKey: string | undefined): CompletionRequest {
  const fields = object(body, 'body')
  refuseUnknown(fields, KNOWN)
  refuseNotOffered(fields, NOT_OFFERED)
  const model = readModel(fields)
  const sampling = readSampling(fields)
  const topLogprobs = optional(fields, 'logprobs', integer(0, LOGPROBS_MAX))
  const choicesPerPrompt = readChoiceCount(fields)
  refuseBestOf(fields, choicesPerPrompt)
  const prompts = readPrompts(fields, choicesPerPrompt)
  const job = {
    model,
    ...sampling,
    ...readFabricMember(fields, idempotencyKey),
    maxTokens: optional(fields, 'max_tokens', integer(1, LIMITS.maxTokensMax)) ?? MAX_TOKENS_DEFAULT,
    ...(topLogprobs === undefined ? {} : { topLogprobs }),
  }
  return {
    model,
    jobs: jobsOf(
      prompts.map((prompt) => ({ task: 'completion', prompt })),
      job,
    ),
    prompts,
    isList: isPromptList(fields['prompt']),
    choicesPerPrompt,
    stop: sampling.stop ?? [],
    hasLogprobs: topLogprobs !== undefined,
    echo: readEcho(fields, topLogprobs, prompts),
    ...readStreaming(fields),
  }
}

/** Choosing the best of more than are shown is not offered; showing all of them chooses nothing. */
function refuseBestOf(fields: Fields, choicesPerPrompt: number): void {
  const bestOf = optional(fields, 'best_of', integer(0, Number.MAX_SAFE_INTEGER))
  if (bestOf !== undefined && bestOf !== choicesPerPrompt) throw unsupported('best_of', 'the value of n')
}

function readPrompts(fields: Fields, choicesPerPrompt: number): readonly Prompt[] {
  const given = fields['prompt']
  const prompts: readonly unknown[] = isPromptList(given) ? given : [given]
  if (prompts.length === 0 || prompts.length > CONTROL_LIMITS.promptsMax)
    throw badRequest('prompt', `1 to ${CONTROL_LIMITS.promptsMax} prompts`)
  if (prompts.length * choicesPerPrompt > CONTROL_LIMITS.choicesMax)
    throw badRequest('n', `at most ${CONTROL_LIMITS.choicesMax} choices of all prompts together`)
  const read = prompts.map((prompt, index) => readPrompt(prompt, isPromptList(given) ? `prompt[${index}]` : 'prompt'))
  return read.flatMap((prompt) => Array.from({ length: choicesPerPrompt }, () => prompt))
}

/** A list of prompts, where a list of numbers is one. */
function isPromptList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && typeof value[0] !== 'number'
}

const readText = text(LIMITS.messageBytesMax)
const readId = integer(0, TOKEN_ID_MAX)

export function readPrompt(value: unknown, param: string): Prompt {
  if (!Array.isArray(value)) return readText(value, param)
  if (value.length === 0 || value.length > LIMITS.promptTokensMax)
    throw badRequest(param, `1 to ${LIMITS.promptTokensMax} token ids`)
  const ids: readonly unknown[] = value
  return ids.map((id, index) => readId(id, `${param}[${index}]`))
}

function readEcho(fields: Fields, topLogprobs: number | undefined, prompts: readonly Prompt[]): boolean {
  const echo = optional(fields, 'echo', flag) ?? false
  // The prompt's tokens would need chances too, and nobody computes those.
  if (echo && topLogprobs !== undefined) throw unsupported('echo', 'false beside logprobs')
  if (echo && prompts.some((prompt) => typeof prompt !== 'string')) throw unsupported('echo', 'false beside token ids')
  return echo
}
