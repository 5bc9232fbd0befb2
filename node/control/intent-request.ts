/** `POST /api/v1/p2p/intents` parsed at the door: a JSON wish that the daemon signs, or an intent signed elsewhere. */
import { LIMITS } from '../../core/limits.ts'
import type { JobInput, JobRequest } from '../runtime/app.ts'
import { CHAT_FIELDS, readChat } from './chat-fields.ts'
import { readPrompt } from './completion-request.ts'
import { type Fields, flag, integer, list, object, oneOf, optional, refuseUnknown, required, text } from './fields.ts'
import { EMBEDDING_SAMPLING, FABRIC_FIELDS, readFabricOptions, readModel } from './job-fields.ts'
import { badRequest } from './problem.ts'
import { readSampling, SAMPLING_FIELDS } from './sampling-fields.ts'

export const SIGNED_INTENT_TYPE = 'application/vnd.cfab.intent'
export type IntentRequest = { readonly job: JobRequest; readonly dryRun: boolean }
export type SignedIntent = { readonly envelope: Uint8Array; readonly inputs: Uint8Array }

const TASKS = ['chat', 'completion', 'embedding'] as const
const GENERATION_FIELDS = [...SAMPLING_FIELDS, 'max_tokens', 'top_logprobs'] as const
const INPUT_FIELDS = [...CHAT_FIELDS, 'prompt', 'texts'] as const
const INPUTS_OF: Readonly<Record<JobInput['task'], ReadonlySet<string>>> = {
  chat: new Set([...CHAT_FIELDS, 'prompt']),
  completion: new Set(['prompt']),
  embedding: new Set(['texts']),
}
const KNOWN = new Set(['model', 'task', ...INPUT_FIELDS, 'dry_run', ...GENERATION_FIELDS, ...FABRIC_FIELDS])
const LENGTH_BYTES = 4

/** @throws CF_CONTROL_BAD_REQUEST with `param` */
export function parseIntentRequest(body: unknown, idempotencyKey: string | undefined): IntentRequest {
  const fields = object(body, 'body')
  refuseUnknown(fields, KNOWN)
  const task = optional(fields, 'task', oneOf(...TASKS)) ?? 'chat'
  const model = readModel(fields)
  const wish = readInput(fields, task)
  const fabric = readFabricOptions(fields, idempotencyKey, '', task === 'embedding' ? 'before' : undefined)
  const how = task === 'embedding' ? nothingDrawn(fields) : readGeneration(fields)
  return { dryRun: optional(fields, 'dry_run', flag) ?? false, job: { model, ...wish, ...how, ...fabric } }
}

/** `prompt` is the user's message of a chat, or the text or token ids that a completion goes on from. */
function readInput(fields: Fields, task: JobInput['task']): Pick<JobRequest, 'input' | 'grammar'> {
  for (const name of INPUT_FIELDS) {
    if (fields[name] !== undefined && !INPUTS_OF[task].has(name))
      throw badRequest(name, `to be absent for task ${task}`)
  }
  if (task === 'embedding') return { input: { task, texts: readTexts(fields) } }
  if (task === 'completion') return { input: { task, prompt: required(fields, 'prompt', readPrompt) } }
  const content = optional(fields, 'prompt', text(LIMITS.payloadBytesMax))
  if (content === undefined) return readChat(fields)
  if (fields['messages'] !== undefined) throw badRequest('prompt', 'to be absent beside messages')
  return readChat({ ...fields, messages: [{ role: 'user', content }] })
}

function readTexts(fields: Fields): readonly string[] {
  const texts = required(fields, 'texts', list)
  if (texts.length === 0 || texts.length > LIMITS.embeddingTextCountMax)
    throw badRequest('texts', `1 to ${LIMITS.embeddingTextCountMax} strings`)
  const read = text(LIMITS.messageBytesMax)
  return texts.map((value, index) => read(value, `texts[${index}]`))
}

type Generation = Omit<JobRequest, 'model' | 'input' | 'replicas' | 'verify' | 'maxBudget' | 'region' | 'nonce'>

function readGeneration(fields: Fields): Generation {
  const maxTokens = optional(fields, 'max_tokens', integer(1, LIMITS.maxTokensMax))
  const topLogprobs = optional(fields, 'top_logprobs', integer(0, LIMITS.topLogprobsCountMax))
  return {
    ...readSampling(fields),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(topLogprobs === undefined ? {} : { topLogprobs }),
  }
}

/** An option that could change nothing is refused: its caller believes that it does. */
function nothingDrawn(fields: Fields): Generation {
  for (const name of GENERATION_FIELDS) {
    if (fields[name] !== undefined && fields[name] !== null) throw badRequest(name, 'to be absent for task embedding')
  }
  return EMBEDDING_SAMPLING
}

/** Envelope, then job inputs, each behind its length as u32be; nothing after. */
export function parseSignedIntent(body: Uint8Array): SignedIntent {
  const [envelope, rest] = cut(body, 'envelope')
  const [inputs, trailing] = cut(rest, 'inputs')
  if (trailing.length > 0) throw badRequest('inputs', 'nothing after them')
  return { envelope, inputs }
}

function cut(bytes: Uint8Array, param: string): readonly [part: Uint8Array, rest: Uint8Array] {
  if (bytes.length < LENGTH_BYTES) throw badRequest(param, 'a four-byte length')
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const end = LENGTH_BYTES + length
  if (end > bytes.length) throw badRequest(param, 'as many bytes as its length says')
  return [bytes.subarray(LENGTH_BYTES, end), bytes.subarray(end)]
}
