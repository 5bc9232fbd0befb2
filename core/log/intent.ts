/** A user's signed wish: what to run, how often, for how much at most. Its hash is the job's id. */
import { domainHash } from '#core/hash'
import {
  type BodyOf,
  bytes,
  code,
  defineBody,
  digest,
  i64,
  list,
  record,
  text,
  u8,
  u16,
  u32,
  u64,
} from '../codec/schema.ts'
import { digestBytes, digestOf, type JobId, type SwarmId } from '../ids.ts'
import { LIMITS } from '../limits.ts'

export const SAMPLING_KINDS = ['gumbel-v1', 'llama'] as const
export const ROLES = ['system', 'user', 'assistant'] as const
export const VERIFY_MODES = ['after', 'before'] as const

export const intentCodec = defineBody(
  'intent',
  {
    /** domainHash('payload', payload bytes): salt, messages and seed nonce travel point to point. */
    payloadCommitment: digest(),
    modelDigest: digest(),
    /** Parameters in millions, rounded up: the size that the price depends on. */
    modelMegaParams: u32(),
    templateDigest: digest(),
    sampling: record({ kind: code(SAMPLING_KINDS), temperatureMilli: u16(), topK: u16() }),
    promptTokens: u32(),
    maxTokens: u32(),
    replicas: u8(),
    verify: code(VERIFY_MODES),
    region: text(32),
    /** Micro-credits. */
    maxBudget: i64(),
    nonce: u64(),
    expiresMs: u64(),
  },
  LIMITS.intentBytesMax,
)
export type Intent = BodyOf<typeof intentCodec>

export type IntentFault = 'replicas' | 'max_tokens' | 'prompt_tokens' | 'sampling' | 'budget' | 'region' | 'model'

/**
 * Finds the first bound that an intent breaks; the shape has been checked by the codec before.
 *
 * @returns the field group at fault, or undefined when every bound holds
 */
export function intentFault(intent: Intent): IntentFault | undefined {
  const { replicas, maxTokens, promptTokens, sampling, maxBudget, modelMegaParams } = intent
  if (replicas < 1 || replicas > LIMITS.replicaCountMax) return 'replicas'
  if (maxTokens < 1 || maxTokens > LIMITS.maxTokensMax) return 'max_tokens'
  if (promptTokens < 1 || promptTokens > LIMITS.promptTokensMax) return 'prompt_tokens'
  if (sampling.temperatureMilli > LIMITS.temperatureMilliMax) return 'sampling'
  if (sampling.topK < 1 || sampling.topK > LIMITS.topKMax) return 'sampling'
  if (maxBudget <= 0n || maxBudget > LIMITS.amountMicroMax) return 'budget'
  if (modelMegaParams < 1) return 'model'
  return intent.region === '' ? 'region' : undefined
}

/** The job's id: a hash over exactly what the user signed. */
export function jobIdOf(swarmId: SwarmId, intentBody: Uint8Array): JobId {
  return digestOf(domainHash('job', digestBytes(swarmId), intentBody)) as JobId
}

/** What the client sends to its edge and the edge to the workers, never into the log or gossip. */
export const payloadCodec = defineBody(
  'payload',
  {
    salt: bytes(32),
    seedNonce: bytes(32),
    /** Rendered by each worker with the template that the intent names. */
    messages: list(record({ role: code(ROLES), content: text(LIMITS.messageBytesMax) }), LIMITS.messageCountMax),
  },
  LIMITS.payloadBytesMax,
)
export type Payload = BodyOf<typeof payloadCodec>

/** Binds an intent to its payload without showing it: the salt keeps a short prompt from being guessed. */
export function payloadCommitment(payloadBytes: Uint8Array): ReturnType<typeof digestOf> {
  return digestOf(domainHash('payload', payloadBytes))
}
