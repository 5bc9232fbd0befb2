/** How an answer is drawn and where it ends: temperature, top-p, penalties, biases, seed, stop strings, logprobs. */
import { domainHash } from '#core/hash'
import { utf8 } from '../../core/codec/bytes.ts'
import { LIMITS } from '../../core/limits.ts'
import type { JobRequest } from '../runtime/app.ts'
import { CONTROL_LIMITS } from './bounds.ts'
import { type Fields, flag, integer, object, optional, shortText, thousandths } from './fields.ts'
import { badRequest } from './problem.ts'

/** OpenAI's default; 0 is greedy. */
const TEMPERATURE_MILLI_DEFAULT = 1_000
const TOP_P_MILLI_OFF = 1_000

export const SAMPLING_FIELDS = [
  'temperature',
  'top_k',
  'top_p',
  'frequency_penalty',
  'presence_penalty',
  'seed',
  'stop',
  'logit_bias',
] as const

export type Sampling = Pick<
  JobRequest,
  | 'temperatureMilli'
  | 'topK'
  | 'topPMilli'
  | 'frequencyPenaltyMilli'
  | 'presencePenaltyMilli'
  | 'seedNonce'
  | 'stop'
  | 'logitBias'
>

/** Neutral values are left out: a job that names none of them has one form. */
export function readSampling(fields: Fields): Sampling {
  const topP = optional(fields, 'top_p', thousandths(0.001, 1)) ?? TOP_P_MILLI_OFF
  const frequency = optional(fields, 'frequency_penalty', thousandths(-2, 2)) ?? 0
  const presence = optional(fields, 'presence_penalty', thousandths(-2, 2)) ?? 0
  const seed = optional(fields, 'seed', integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER))
  const stop = readStop(fields)
  const logitBias = optional(fields, 'logit_bias', readBias) ?? []
  return {
    temperatureMilli:
      optional(fields, 'temperature', thousandths(0, LIMITS.temperatureMilliMax / 1000)) ?? TEMPERATURE_MILLI_DEFAULT,
    topK: optional(fields, 'top_k', integer(1, LIMITS.topKMax)) ?? LIMITS.topKMax,
    ...(topP === TOP_P_MILLI_OFF ? {} : { topPMilli: topP }),
    ...(frequency === 0 ? {} : { frequencyPenaltyMilli: frequency }),
    ...(presence === 0 ? {} : { presencePenaltyMilli: presence }),
    ...(seed === undefined ? {} : { seedNonce: seedNonceOf(seed) }),
    ...(stop.length === 0 ? {} : { stop }),
    ...(logitBias.length === 0 ? {} : { logitBias }),
  }
}

/** The 32 bytes that a caller's `seed` stands for: SHA-256("cfab/http-seed/v1" || 0x00 || decimal text). */
export function seedNonceOf(seed: number): Uint8Array {
  return domainHash('http-seed', utf8(String(seed)))
}

const TOKEN_ID = /^(0|[1-9][0-9]{0,9})$/
const TOKEN_ID_MAX = 2 ** 32 - 1
const BIAS_MAX = LIMITS.logitBiasMilliMax / 1_000

/** Token ids and what is added to their logits, ascending; one that adds nothing is none. */
function readBias(value: unknown, param: string): NonNullable<JobRequest['logitBias']> {
  const given = Object.entries(object(value, param))
  if (given.length > LIMITS.logitBiasCountMax) throw badRequest(param, `at most ${LIMITS.logitBiasCountMax} token ids`)
  const read = thousandths(-BIAS_MAX, BIAS_MAX)
  return given
    .map(([id, bias]) => {
      if (!TOKEN_ID.test(id) || Number(id) > TOKEN_ID_MAX) throw badRequest(`${param}.${id}`, 'a token id')
      return { id: Number(id), biasMilli: read(bias, `${param}.${id}`) }
    })
    .filter(({ biasMilli }) => biasMilli !== 0)
    .sort((one, other) => one.id - other.id)
}

/** One string or up to four. */
function readStop(fields: Fields): readonly string[] {
  const stop = fields['stop']
  if (stop === undefined || stop === null) return []
  if (!Array.isArray(stop)) return [stopText(stop, 'stop')]
  const texts: readonly unknown[] = stop
  if (texts.length > LIMITS.stopCountMax) throw badRequest('stop', `at most ${LIMITS.stopCountMax} strings`)
  return texts.map((text, index) => stopText(text, `stop[${index}]`))
}

function stopText(value: unknown, param: string): string {
  const text = shortText(LIMITS.stopBytesMax)(value, param)
  if (!text.isWellFormed()) throw badRequest(param, 'whole characters')
  return text
}

/** `logprobs` and `top_logprobs` of the chat API. @returns undefined when none are asked for */
export function readChatLogprobs(fields: Fields): number | undefined {
  const wanted = optional(fields, 'logprobs', flag) ?? false
  const top = optional(fields, 'top_logprobs', integer(0, LIMITS.topLogprobsCountMax)) ?? 0
  if (!wanted && top > 0) throw badRequest('top_logprobs', 'to be absent unless logprobs is true')
  return wanted ? top : undefined
}

/** How many choices of one prompt. */
export function readChoiceCount(fields: Fields): number {
  return optional(fields, 'n', integer(1, CONTROL_LIMITS.choicesPerPromptMax)) ?? 1
}
