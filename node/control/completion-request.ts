/** `POST /v1/completions` parsed at the door: one or several prompts, each continued `n` times. */
import { LIMITS } from '../../core/limits.ts'
import { type AnswerRequest, LABELS, readFabricMember, readStreaming } from './answer-request.ts'
import { CONTROL_LIMITS } from './bounds.ts'
import { type Fields, flag, integer, object, optional, refuseUnknown, text } from './fields.ts'
import { jobsOf, readModel } from './job-fields.ts'
import { emptyObject, type Neutral, only, refuseNotOffered } from './not-offered.ts'
import { badRequest, unsupported } from './problem.ts'
import { readChoiceCount, readSampling, SAMPLING_FIELDS } from './sampling-fields.ts'

export type CompletionRequest = AnswerRequest & {
  /** The prompt of each choice, in the order of their indexes. */
  readonly prompts: readonly string[]
  /** Whether the request named a list: errors then say which prompt they mean. */
  readonly isList: boolean
  readonly choicesPerPrompt: number
  readonly echo: boolean
}

/** What the API's reference says for a request that names none. */
const MAX_TOKENS_DEFAULT = 16
const LOGPROBS_MAX = 5
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
const NOT_OFFERED: Readonly<Record<string, Neutral>> = { suffix: only(''), logit_bias: emptyObject }
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
    isList: Array.isArray(fields['prompt']),
    choicesPerPrompt,
    stop: sampling.stop ?? [],
    hasLogprobs: topLogprobs !== undefined,
    echo: readEcho(fields, topLogprobs),
    ...readStreaming(fields),
  }
}

/** Choosing the best of more than are shown is not offered; showing all of them chooses nothing. */
function refuseBestOf(fields: Fields, choicesPerPrompt: number): void {
  const bestOf = optional(fields, 'best_of', integer(0, Number.MAX_SAFE_INTEGER))
  if (bestOf !== undefined && bestOf !== choicesPerPrompt) throw unsupported('best_of', 'the value of n')
}

function readPrompts(fields: Fields, choicesPerPrompt: number): readonly string[] {
  const given = fields['prompt']
  const prompts: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (prompts.length === 0 || prompts.length > CONTROL_LIMITS.promptsMax)
    throw badRequest('prompt', `1 to ${CONTROL_LIMITS.promptsMax} strings`)
  if (prompts.length * choicesPerPrompt > CONTROL_LIMITS.choicesMax)
    throw badRequest('n', `at most ${CONTROL_LIMITS.choicesMax} choices of all prompts together`)
  if (Array.isArray(given) && isTokenIds(prompts[0])) throw unsupported('prompt', 'text')
  const read = text(LIMITS.messageBytesMax)
  const texts = prompts.map((prompt, index) => read(prompt, Array.isArray(given) ? `prompt[${index}]` : 'prompt'))
  return texts.flatMap((prompt) => Array.from({ length: choicesPerPrompt }, () => prompt))
}

/** A prompt as token ids, or one of several such prompts. */
export function isTokenIds(value: unknown): boolean {
  return typeof value === 'number' || Array.isArray(value)
}

function readEcho(fields: Fields, topLogprobs: number | undefined): boolean {
  const echo = optional(fields, 'echo', flag) ?? false
  // The prompt's tokens would need chances too, and nobody computes those.
  if (echo && topLogprobs !== undefined) throw unsupported('echo', 'false beside logprobs')
  return echo
}
