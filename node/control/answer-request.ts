/** What the chat and completion routes share of a request: streaming, the `cfab` extension, choices. */
import type { JobRequest } from '../runtime/app.ts'
import { type Fields, flag, object, optional, refuseUnknown } from './fields.ts'
import { FABRIC_FIELDS, type FabricOptions, readFabricOptions } from './job-fields.ts'
import { badRequest, unsupported } from './problem.ts'

export type AnswerRequest = {
  readonly model: string
  /** One for each choice, in the order of their indexes. */
  readonly jobs: readonly JobRequest[]
  readonly stop: readonly string[]
  readonly hasLogprobs: boolean
  readonly stream: boolean
  readonly includeUsage: boolean
}

/** Labels for the caller's own books: they change nothing about the answer. */
export const LABELS = ['user', 'metadata', 'safety_identifier', 'prompt_cache_key']
const STREAM_OPTION_FIELDS = new Set(['include_usage', 'include_obfuscation'])

export function readStreaming(fields: Fields): Pick<AnswerRequest, 'stream' | 'includeUsage'> {
  const stream = optional(fields, 'stream', flag) ?? false
  return { stream, includeUsage: readIncludeUsage(fields, stream) }
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

/** The request's `cfab` member, which the official client passes on as it is. */
export function readFabricMember(fields: Fields, idempotencyKey: string | undefined, verify?: 'before'): FabricOptions {
  const fabric = optional(fields, 'cfab', object) ?? {}
  refuseUnknown(fabric, FABRIC_FIELDS, 'cfab.')
  return readFabricOptions(fabric, idempotencyKey, 'cfab.', verify)
}
