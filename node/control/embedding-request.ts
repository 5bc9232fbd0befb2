/** `POST /v1/embeddings` parsed at the door. Many inputs become several jobs. */
import { LIMITS } from '../../core/limits.ts'
import type { JobRequest, ModelView } from '../runtime/app.ts'
import { readFabricMember } from './answer-request.ts'
import { CONTROL_LIMITS } from './bounds.ts'
import { type Fields, integer, object, oneOf, optional, refuseUnknown, text } from './fields.ts'
import { EMBEDDING_SAMPLING, jobsOf, readModel } from './job-fields.ts'
import { badRequest, unsupported } from './problem.ts'

export type EmbeddingRequest = {
  readonly model: string
  readonly jobs: readonly JobRequest[]
  /** Whether the request named a list: errors then say which input they mean. */
  readonly isList: boolean
  readonly encoding: 'float' | 'base64'
}

const KNOWN = new Set(['model', 'input', 'encoding_format', 'dimensions', 'user', 'cfab'])

/**
 * @param modelNamed  the model of a name, refused when it does not embed
 * @throws            CF_CONTROL_BAD_REQUEST or CF_CONTROL_UNSUPPORTED, with `param`; what `modelNamed` throws
 */
export function parseEmbeddingRequest(
  body: unknown,
  idempotencyKey: string | undefined,
  modelNamed: (name: string) => ModelView,
): EmbeddingRequest {
  const fields = object(body, 'body')
  refuseUnknown(fields, KNOWN)
  const model = readModel(fields)
  const texts = readInput(fields)
  const encoding = optional(fields, 'encoding_format', oneOf('float', 'base64')) ?? 'float'
  const fabric = readFabricMember(fields, idempotencyKey, 'before')
  const dimensions = optional(fields, 'dimensions', integer(1, Number.MAX_SAFE_INTEGER))
  const offered = modelNamed(model).dimensions
  if (dimensions !== undefined && dimensions !== offered) throw unsupported('dimensions', String(offered))
  const parts: (readonly string[])[] = []
  for (let from = 0; from < texts.length; from += LIMITS.embeddingTextCountMax)
    parts.push(texts.slice(from, from + LIMITS.embeddingTextCountMax))
  return {
    model,
    jobs: jobsOf(
      parts.map((part) => ({ task: 'embedding', texts: part })),
      { model, ...EMBEDDING_SAMPLING, ...fabric },
    ),
    isList: Array.isArray(fields['input']),
    encoding,
  }
}

function readInput(fields: Fields): readonly string[] {
  const given = fields['input']
  const inputs: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (inputs.length === 0 || inputs.length > CONTROL_LIMITS.embeddingInputsMax)
    throw badRequest('input', `1 to ${CONTROL_LIMITS.embeddingInputsMax} strings`)
  if (Array.isArray(given) && isTokenIds(inputs[0])) throw unsupported('input', 'text')
  const read = text(LIMITS.messageBytesMax)
  return inputs.map((input, index) => read(input, Array.isArray(given) ? `input[${index}]` : 'input'))
}

/** An input as token ids, or one of several such inputs. */
function isTokenIds(value: unknown): boolean {
  return typeof value === 'number' || Array.isArray(value)
}
