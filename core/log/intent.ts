/** A user's signed wish: what to run, how often, for how much at most. Its hash is the job's id. */
import { domainHash } from '#core/hash'
import {
  type BodyOf,
  bytes,
  code,
  defineBody,
  digest,
  i16,
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

export const TASKS = ['chat', 'completion', 'embedding'] as const
export type Task = (typeof TASKS)[number]
export const SAMPLING_KINDS = ['gumbel-v1', 'llama'] as const
export const ROLES = ['system', 'user', 'assistant'] as const
export const VERIFY_MODES = ['after', 'before'] as const

export const intentCodec = defineBody(
  'intent',
  {
    /** domainHash('payload', payload bytes): salt, words and seed nonce travel point to point. */
    payloadCommitment: digest(),
    task: code(TASKS),
    modelDigest: digest(),
    /** Parameters in millions, rounded up: the size that the price depends on. */
    modelMegaParams: u32(),
    /** Of what turns words into ids: the chat template, or an embedding model's vocabulary. */
    templateDigest: digest(),
    sampling: record({
      kind: code(SAMPLING_KINDS),
      temperatureMilli: u16(),
      topK: u16(),
      /** 1,000 is off. */
      topPMilli: u16(),
      /** 0 is off. */
      frequencyPenaltyMilli: i16(),
      presencePenaltyMilli: i16(),
    }),
    /** Texts that end the output; it still contains them. */
    stop: list(text(LIMITS.stopBytesMax), LIMITS.stopCountMax),
    /** Of an embedding job: the tokens of all its texts. */
    promptTokens: u32(),
    /** Of an embedding job: the number of its texts, each one unit of output. */
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
export type Sampling = Intent['sampling']

/** What leaves a sampler to temperature and top-k alone. */
export const NEUTRAL = { topPMilli: LIMITS.topPMilliMax, frequencyPenaltyMilli: 0, presencePenaltyMilli: 0 } as const
/** An embedding samples nothing, and says so in one way. */
export const NO_SAMPLING: Sampling = { kind: 'gumbel-v1', temperatureMilli: 0, topK: 1, ...NEUTRAL }

export type IntentFault =
  | 'replicas'
  | 'max_tokens'
  | 'prompt_tokens'
  | 'sampling'
  | 'stop'
  | 'verify'
  | 'budget'
  | 'region'
  | 'model'

/** What decoders put for bytes that are no character: a text that ends in one may end otherwise on another machine. */
const REPLACEMENT = '\ufffd'

/**
 * Finds the first bound that an intent breaks; the shape has been checked by the codec before.
 *
 * @returns the field group at fault, or undefined when every bound holds
 */
export function intentFault(intent: Intent): IntentFault | undefined {
  const { task, replicas, maxTokens, promptTokens, stop, maxBudget, modelMegaParams } = intent
  const embeds = task === 'embedding'
  if (replicas < 1 || replicas > LIMITS.replicaCountMax) return 'replicas'
  if (maxTokens < 1 || maxTokens > (embeds ? LIMITS.embeddingTextCountMax : LIMITS.maxTokensMax)) return 'max_tokens'
  if (promptTokens < 1 || promptTokens > LIMITS.promptTokensMax) return 'prompt_tokens'
  if (isSamplingWrong(intent)) return 'sampling'
  if (stop.some((ending) => ending === '' || ending.includes(REPLACEMENT)) || (embeds && stop.length > 0)) return 'stop'
  // Nothing is streamed that a client could read before the verdict.
  if (embeds && intent.verify !== 'before') return 'verify'
  if (maxBudget <= 0n || maxBudget > LIMITS.amountMicroMax) return 'budget'
  if (modelMegaParams < 1) return 'model'
  return intent.region === '' ? 'region' : undefined
}

function isSamplingWrong({ sampling, task }: Intent): boolean {
  const { temperatureMilli, topK, topPMilli, frequencyPenaltyMilli, presencePenaltyMilli } = sampling
  if (temperatureMilli > LIMITS.temperatureMilliMax || topPMilli > LIMITS.topPMilliMax) return true
  if (topK < 1 || topK > LIMITS.topKMax) return true
  if (Math.max(Math.abs(frequencyPenaltyMilli), Math.abs(presencePenaltyMilli)) > LIMITS.penaltyMilliMax) return true
  // A rule that gumbel-v1 does not have would be a claim that nobody can check.
  if (isVerifiable(sampling) && !isNeutral(sampling)) return true
  return task === 'embedding' && !(isVerifiable(sampling) && temperatureMilli === 0 && topK === 1)
}

export function isNeutral(sampling: Omit<Sampling, 'kind'>): boolean {
  const { topPMilli, frequencyPenaltyMilli, presencePenaltyMilli } = sampling
  return (
    topPMilli === NEUTRAL.topPMilli &&
    frequencyPenaltyMilli === NEUTRAL.frequencyPenaltyMilli &&
    presencePenaltyMilli === NEUTRAL.presencePenaltyMilli
  )
}

/** Whether another machine can replay the choice of tokens. */
export function isVerifiable({ kind }: Pick<Sampling, 'kind'>): boolean {
  return kind === 'gumbel-v1'
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
    /** Of a chat: rendered by each worker with the template that the intent names. */
    messages: list(record({ role: code(ROLES), content: text(LIMITS.messageBytesMax) }), LIMITS.messageCountMax),
    /** Of a completion: the prompt. Of an embedding job: each gets a vector. */
    texts: list(text(LIMITS.messageBytesMax), LIMITS.embeddingTextCountMax),
    /** 0: none wanted; else one more than the alternatives shown beside each token. */
    logprobs: u8(),
  },
  LIMITS.payloadBytesMax,
)
export type Payload = BodyOf<typeof payloadCodec>

/** Whether the words are of the kind and number that the intent speaks of. */
export function isPayloadOf({ task, maxTokens }: Pick<Intent, 'task' | 'maxTokens'>, payload: Payload): boolean {
  const { messages, texts, logprobs } = payload
  if (logprobs > (task === 'embedding' ? 0 : LIMITS.topLogprobsCountMax + 1)) return false
  if (task === 'chat') return messages.length > 0 && texts.length === 0
  return messages.length === 0 && texts.length === (task === 'embedding' ? maxTokens : 1)
}

/** Binds an intent to its payload without showing it: the salt keeps a short prompt from being guessed. */
export function payloadCommitment(payloadBytes: Uint8Array): ReturnType<typeof digestOf> {
  return digestOf(domainHash('payload', payloadBytes))
}
