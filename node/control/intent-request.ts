/** `POST /api/v1/p2p/intents` parsed at the door: a JSON wish that the daemon signs, or an intent signed elsewhere. */
import { LIMITS } from '../../core/limits.ts'
import type { ChatMessage } from '../../models/backend.ts'
import type { JobRequest } from '../runtime/app.ts'
import { type Fields, flag, integer, object, optional, refuseUnknown, text } from './fields.ts'
import { FABRIC_FIELDS, readFabricOptions, readMessages, readModel, readSampling } from './job-fields.ts'
import { badRequest } from './problem.ts'

export const SIGNED_INTENT_TYPE = 'application/vnd.cfab.intent'
export type IntentRequest = { readonly job: JobRequest; readonly dryRun: boolean }
export type SignedIntent = { readonly envelope: Uint8Array; readonly payload: Uint8Array }

const KNOWN = new Set([
  'model',
  'messages',
  'prompt',
  'temperature',
  'top_k',
  'max_tokens',
  'seed',
  'dry_run',
  ...FABRIC_FIELDS,
])
const LENGTH_BYTES = 4

/** @throws CF_CONTROL_BAD_REQUEST with `param` */
export function parseIntentRequest(body: unknown, idempotencyKey: string | undefined): IntentRequest {
  const fields = object(body, 'body')
  refuseUnknown(fields, KNOWN)
  const maxTokens = optional(fields, 'max_tokens', integer(1, LIMITS.maxTokensMax))
  return {
    dryRun: optional(fields, 'dry_run', flag) ?? false,
    job: {
      model: readModel(fields),
      messages: readPrompt(fields),
      ...readSampling(fields),
      ...readFabricOptions(fields, idempotencyKey, ''),
      ...(maxTokens === undefined ? {} : { maxTokens }),
    },
  }
}

function readPrompt(fields: Fields): readonly ChatMessage[] {
  const prompt = optional(fields, 'prompt', text(LIMITS.payloadBytesMax))
  if (prompt === undefined) return readMessages(fields)
  if (fields['messages'] !== undefined) throw badRequest('prompt', 'to be absent beside messages')
  return [{ role: 'user', content: prompt }]
}

/** Envelope, then payload, each behind its length as u32be; nothing after. */
export function parseSignedIntent(body: Uint8Array): SignedIntent {
  const [envelope, rest] = cut(body, 'envelope')
  const [payload, trailing] = cut(rest, 'payload')
  if (trailing.length > 0) throw badRequest('payload', 'nothing after it')
  return { envelope, payload }
}

function cut(bytes: Uint8Array, param: string): readonly [part: Uint8Array, rest: Uint8Array] {
  if (bytes.length < LENGTH_BYTES) throw badRequest(param, 'a four-byte length')
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const end = LENGTH_BYTES + length
  if (end > bytes.length) throw badRequest(param, 'as many bytes as its length says')
  return [bytes.subarray(LENGTH_BYTES, end), bytes.subarray(end)]
}
