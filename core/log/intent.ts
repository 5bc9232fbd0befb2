/** A user's signed wish: what to run, how often, for how much at most. Its hash is the job's id. */
import { domainHash } from '#core/hash'
import {
  type BodyOf,
  bytes,
  bytesMax,
  code,
  defineBody,
  digest,
  i16,
  i32,
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
import { isVerifiable } from '../verification/replayable.ts'

export const TASKS = ['chat', 'completion', 'embedding'] as const
export type Task = (typeof TASKS)[number]
export const SAMPLING_KINDS = ['gumbel-v1', 'llama'] as const
export const ROLES = ['system', 'user', 'assistant', 'tool'] as const
/** Whether a model that can think first should; `default` leaves it to its template. */
export const THINKING = ['default', 'on', 'off'] as const
export const VERIFY_MODES = ['after', 'before'] as const

export const intentCodec = defineBody(
  'intent',
  {
    /** domainHash('payload', payload bytes): salt and words travel point to point. */
    payloadCommitment: digest(),
    /** Over one commitment a replica (inputs.ts): which replicas share a seed is nobody's business before all is over. */
    seedsCommitment: digest(),
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
    /** Tokens a second, by three witnesses' median, from which on a replica earns the speed bonus; 0: none is offered. */
    speedTarget: u16(),
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
  | 'speed'
  | 'budget'
  | 'region'
  | 'model'

/** Of a token id in `promptIds`. */
const ID_BYTES = 4
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
  if (embeds && intent.speedTarget > 0) return 'speed'
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

/** The job's id: a hash over exactly what the user signed. */
export function jobIdOf(swarmId: SwarmId, intentBody: Uint8Array): JobId {
  return digestOf(domainHash('job', digestBytes(swarmId), intentBody)) as JobId
}

/** What the client sends to its edge and the edge to the workers, never into the log or gossip. */
export const payloadCodec = defineBody(
  'payload',
  {
    salt: bytes(32),
    /** Of a chat: rendered by each worker with the template that the intent names. */
    messages: list(
      record({
        role: code(ROLES),
        content: text(LIMITS.messageBytesMax),
        /** Of an assistant's turn: what it asked for; `arguments` is JSON text. */
        toolCalls: list(
          record({
            id: text(LIMITS.toolNameBytesMax),
            name: text(LIMITS.toolNameBytesMax),
            arguments: text(LIMITS.toolsBytesMax),
          }),
          LIMITS.toolCallCountMax,
        ),
        /** Of a tool's turn: the call that it answers; else ''. */
        toolCallId: text(LIMITS.toolNameBytesMax),
      }),
      LIMITS.messageCountMax,
    ),
    /** JSON text of the functions that a chat may call, an array of { name, description, parameters }; '' for none. */
    tools: text(LIMITS.toolsBytesMax),
    thinking: code(THINKING),
    /** GBNF that the output follows, '' for none. Only with `llama` sampling. */
    grammar: text(LIMITS.grammarBytesMax),
    /** Thousandths of a nat added to a token's logit. Only with `llama` sampling. */
    logitBias: list(record({ id: u32(), biasMilli: i32() }), LIMITS.logitBiasCountMax),
    /** Of a completion, in place of a text: the prompt as token ids, each a little-endian u32; else empty. */
    promptIds: bytesMax(LIMITS.promptIdsBytesMax),
    /** Of a completion: the prompt. Of an embedding job: each gets a vector. */
    texts: list(text(LIMITS.messageBytesMax), LIMITS.embeddingTextCountMax),
    /** 0: none wanted; else one more than the alternatives shown beside each token. */
    logprobs: u8(),
  },
  LIMITS.payloadBytesMax,
)
export type Payload = BodyOf<typeof payloadCodec>
export type Message = Payload['messages'][number]

/** What a payload has where its job asks for nothing but words. */
export const PLAIN = {
  ...({ tools: '', thinking: 'default', grammar: '', logitBias: [] } as const),
  promptIds: new Uint8Array(),
}
/** A message that neither calls a tool nor answers a call. */
export function plainMessage(role: Exclude<Message['role'], 'tool'>, content: string): Message {
  return { role, content, toolCalls: [], toolCallId: '' }
}

/**
 * Whether the payload is what its intent speaks of: words of its kind and number, and nothing that its sampler does not know.
 *
 * Why a grammar and biases want the sampler `llama`: nobody who replays a choice of tokens by temperature and top-k alone would find it.
 */
export function isPayloadOf(
  intent: Pick<Intent, 'task' | 'maxTokens' | 'promptTokens' | 'sampling'>,
  payload: Payload,
): boolean {
  const { task, sampling } = intent
  const { logprobs, grammar, logitBias } = payload
  if (logprobs > (task === 'embedding' ? 0 : LIMITS.topLogprobsCountMax + 1)) return false
  if (isVerifiable(sampling) && (grammar !== '' || logitBias.length > 0)) return false
  return isBiasSound(logitBias) && (task === 'chat' ? isChat(payload) : isText(intent, payload))
}

function isChat({ messages, texts, promptIds }: Payload): boolean {
  return messages.length > 0 && messages.every(isMessageSound) && texts.length === 0 && promptIds.length === 0
}

function isMessageSound({ role, toolCalls, toolCallId }: Message): boolean {
  if ((role === 'tool') !== (toolCallId !== '')) return false
  if (role !== 'assistant' && toolCalls.length > 0) return false
  return toolCalls.every(({ id, name }) => id !== '' && name !== '')
}

function isText(
  { task, maxTokens, promptTokens }: Pick<Intent, 'task' | 'maxTokens' | 'promptTokens'>,
  { messages, tools, thinking, texts, promptIds }: Payload,
): boolean {
  if (messages.length > 0 || tools !== '' || thinking !== 'default') return false
  if (promptIds.length === 0) return texts.length === (task === 'embedding' ? maxTokens : 1)
  return task === 'completion' && texts.length === 0 && promptIds.length === promptTokens * ID_BYTES
}

/** Ascending ids: a set of biases has one form. */
function isBiasSound(logitBias: Payload['logitBias']): boolean {
  return logitBias.every(
    ({ id, biasMilli }, place) =>
      Math.abs(biasMilli) <= LIMITS.logitBiasMilliMax && id > (logitBias[place - 1]?.id ?? -1),
  )
}

/** Binds an intent to its payload without showing it: the salt keeps a short prompt from being guessed. */
export function payloadCommitment(payloadBytes: Uint8Array): ReturnType<typeof digestOf> {
  return digestOf(domainHash('payload', payloadBytes))
}
