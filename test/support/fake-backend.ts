/**
 * A Backend without a model: bytes are its tokens (words, when it embeds), its answers are drawn from a few words by a hash of the prompt and seed, and its
 * vectors from a hash of the text.
 * It waits, dies and lies on command.
 */
import { createHash } from 'node:crypto'
import { type ErrorCode, FabricError } from '../../core/errors.ts'
import { OUTSIDE_MARGIN_NATS, RANK_UNLISTED } from '../../core/verification/margin.ts'
import type {
  AuditPosition,
  AuditRequest,
  Backend,
  BackendMetrics,
  ChatMessage,
  DetokenizeRequest,
  Embedded,
  GenerateRequest,
  LoadedModel,
  LoadRequest,
  RenderOptions,
  TokenBatch,
  TokenChance,
  ToolFormat,
} from '../../models/backend.ts'
import {
  checkAudit,
  checkDetokenize,
  checkEmbed,
  checkGenerate,
  checkLoad,
  checkOperation,
} from '../../models/requests.ts'
import { promptSchedule } from '../../models/schedule.ts'
import { StopScanner } from '../../models/stop-scanner.ts'
import { outputText, REPLACEMENT, TextStream } from '../../models/text-stream.ts'

const START = 0
const STOP = 1
const FIRST_BYTE = 2
const SPECIALS = ['<|im_start|>', '<|im_end|>']
const WORDS = [
  'the',
  'fox',
  'sat',
  'on',
  'a',
  'red',
  'kite',
  'naïve',
  '日本',
  '🙂',
  'and',
  'sang',
  'to',
  'nine',
  'tiny',
  'cows',
]
const WORDS_MIN = 6
const WORDS_SPREAD = 12
/** What the fake says that its model needs. */
const MODEL_BYTES = 1_000_000
export const FAKE_DIMENSIONS = 16
const EMBED_CONTEXT_TOKENS = 128
/** Of the token that is said, and of any other. */
const SAID_LOGPROB = -0.1
const OTHER_LOGPROB = -4

/** What happens to one generation. */
export type Fault = {
  /** Fails before the token at this index. */
  readonly failAt?: number
  readonly code?: ErrorCode
  /** Changes what is said: a dishonest worker. */
  readonly edit?: (ids: readonly number[]) => readonly number[]
  /** Pause before every token. */
  readonly stepMs?: number
}

export type FakeOptions = {
  readonly slotCount: number
  readonly waitingCountMax: number
  readonly contextTokens: number
  /** For pauses; a simulation passes its own. */
  readonly sleep: (ms: number) => Promise<void>
  /** Asked once for each generation, which are counted from 0. */
  readonly faultOf: (request: GenerateRequest, index: number) => Fault | undefined
  /** How its template has it write calls of tools. */
  readonly toolFormat: ToolFormat
  /** What it says to a prompt, instead of words that are drawn. */
  readonly answerOf: (prompt: string, request: Partial<GenerateRequest>) => string | undefined
  /** What `embed` says of one text: a dishonest worker has another. */
  readonly vectorOf: (text: string) => Float32Array
}

export const FAKE_DEFAULTS: FakeOptions = {
  slotCount: 4,
  waitingCountMax: 8,
  contextTokens: 1_024,
  sleep: (ms) => new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms))),
  faultOf: () => undefined,
  toolFormat: 'none',
  answerOf: () => undefined,
  vectorOf: hashVector,
}

export const FAKE_DIGEST = createHash('sha256').update('fake model').digest('hex')
export const FAKE_LOAD: LoadRequest = {
  format: 'gguf',
  path: '/fake.gguf',
  digest: FAKE_DIGEST,
  contextTokens: 1_024,
  slotCount: 4,
  threads: 1,
  memoryBytesMax: 1_073_741_824,
  gpu: 'off',
}

export const FAKE_TOKENIZER_DIGEST = createHash('sha256').update('fake vocabulary').digest('hex')
/** Loads the fake as a model that embeds. */
export const FAKE_EMBED_LOAD: LoadRequest = {
  ...FAKE_LOAD,
  format: 'onnx',
  path: '/fake.onnx',
  contextTokens: EMBED_CONTEXT_TOKENS,
  tokenizer: { path: '/fake.json', digest: FAKE_TOKENIZER_DIGEST },
}

export class FakeBackend implements Backend {
  readonly #options: FakeOptions
  readonly #freeSlots: number[]
  readonly #waiting: (() => void)[] = []
  readonly #aborts = new Set<AbortController>()
  #model: LoadedModel | undefined
  #isClosed = false
  #admitted = 0
  #generated = 0
  #tokensDecoded = 0
  #tokensPrefilled = 0

  constructor(options: Partial<FakeOptions> = {}) {
    this.#options = { ...FAKE_DEFAULTS, ...options }
    this.#freeSlots = Array.from({ length: this.#options.slotCount }, (_, slot) => slot)
  }

  async load(request: LoadRequest): Promise<LoadedModel> {
    checkLoad(request)
    if (this.#isClosed) throw new FabricError('CF_CONTROL_SHUTTING_DOWN')
    await this.abort()
    this.#model = undefined
    const { memoryBytesMax, tokenizer, format } = request
    const isEmbedding = format === 'onnx'
    if (request.digest !== FAKE_DIGEST || (isEmbedding && tokenizer?.digest !== FAKE_TOKENIZER_DIGEST))
      throw new FabricError('CF_MODEL_DIGEST_MISMATCH')
    if (memoryBytesMax < MODEL_BYTES)
      throw new FabricError('CF_MODEL_OUT_OF_MEMORY', { bytes: MODEL_BYTES, memoryBytesMax })
    this.#model = {
      digest: FAKE_DIGEST,
      engineId: 'fake/1',
      vocabSize: FIRST_BYTE + 256,
      contextTokens: Math.min(
        request.contextTokens,
        this.#options.contextTokens,
        isEmbedding ? EMBED_CONTEXT_TOKENS : Number.POSITIVE_INFINITY,
      ),
      slotCount: this.#options.slotCount,
      templateDigest: isEmbedding ? FAKE_TOKENIZER_DIGEST : createHash('sha256').update('fake template').digest('hex'),
      stopIds: isEmbedding ? [] : [STOP],
      dimensions: isEmbedding ? FAKE_DIMENSIONS : 0,
      toolFormat: isEmbedding ? 'none' : this.#options.toolFormat,
      driver: { kind: isEmbedding ? 'onnx' : 'lockstep', reason: '' },
    }
    return this.#model
  }

  /** What a template may show is part of the prompt: tools first, calls behind the words that they go with. */
  async render(messages: readonly ChatMessage[], { tools, thinking }: RenderOptions = {}): Promise<string> {
    checkOperation('render', this.#known())
    const turn = (role: string, ...parts: readonly string[]): string =>
      `<|im_start|>${role}\n${parts.join('').replaceAll('<|', '<\u200b|')}<|im_end|>\n`
    const turns = messages.map(({ role, content, toolCalls, toolCallId }) =>
      turn(role, toolCallId === undefined ? '' : `${toolCallId}: `, content, shown(toolCalls)),
    )
    const head = tools === undefined ? '' : turn('tools', shown(tools))
    return `${head}${turns.join('')}<|im_start|>assistant\n${thinking === false ? '<think>\n</think>\n' : ''}`
  }

  async tokenize(text: string, parseSpecial: boolean): Promise<Uint32Array> {
    if (this.#known().dimensions > 0) return Uint32Array.from(wordIds(text))
    const pieces = parseSpecial ? text.split(/(<\|im_start\|>|<\|im_end\|>)/) : [text]
    return Uint32Array.from(
      pieces.flatMap((piece) => (SPECIALS.includes(piece) ? [SPECIALS.indexOf(piece)] : byteIds(piece))),
    )
  }

  async detokenize(request: DetokenizeRequest): Promise<string> {
    checkDetokenize(request, this.#known())
    return outputText(textOf, request, [STOP])
  }

  schedule(promptTokens: number): readonly number[] {
    return promptSchedule(promptTokens)
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<TokenBatch> {
    checkGenerate(request, this.#known())
    this.#admit()
    const own = new AbortController()
    this.#aborts.add(own)
    try {
      const slot = await this.#slot()
      try {
        yield* this.#speak(request, slot, AbortSignal.any([signal, own.signal]))
      } finally {
        this.#release(slot)
      }
    } finally {
      this.#aborts.delete(own)
      this.#admitted -= 1
    }
  }

  async audit(request: AuditRequest, signal: AbortSignal): Promise<readonly AuditPosition[]> {
    checkAudit(request, this.#known())
    this.#admit()
    try {
      const slot = await this.#slot()
      await this.#options.sleep(0)
      this.#release(slot)
      signal.throwIfAborted()
      const expected = this.#answerIds(request.promptIds, request)
      return [...request.outputIds].map((id, index) => judge(id, expected[index] ?? STOP))
    } finally {
      this.#admitted -= 1
    }
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedded> {
    const { contextTokens } = this.#known()
    checkEmbed(texts, this.#known())
    this.#admit()
    try {
      const slot = await this.#slot()
      await this.#options.sleep(0)
      this.#release(slot)
      signal.throwIfAborted()
      const tokenCounts = texts.map((text, index) => embeddedTokens(text, index, contextTokens))
      this.#tokensPrefilled += tokenCounts.reduce((sum, count) => sum + count, 0)
      return { vectors: texts.map(this.#options.vectorOf), tokenCounts }
    } finally {
      this.#admitted -= 1
    }
  }

  async abort(): Promise<void> {
    for (const own of this.#aborts) own.abort()
    while (this.#aborts.size > 0) await this.#options.sleep(0)
  }

  async metrics(): Promise<BackendMetrics> {
    const { slotCount } = this.#known()
    return {
      slotsBusy: slotCount - this.#freeSlots.length,
      slotCount,
      tokensDecoded: this.#tokensDecoded,
      tokensPrefilled: this.#tokensPrefilled,
      residentBytes: MODEL_BYTES,
      jobsWaiting: 0,
      steps: 0,
      stepMs: 0,
      tokensFromCache: 0,
    }
  }

  async close(): Promise<void> {
    await this.abort()
    this.#isClosed = true
  }

  async *#speak(request: GenerateRequest, slot: number, signal: AbortSignal): AsyncIterable<TokenBatch> {
    const fault = this.#options.faultOf(request, this.#generated++) ?? {}
    const honest = this.#answerIds(request.promptIds, request)
    const ids = fault.edit?.(honest) ?? honest
    const text = new TextStream(textOf, [])
    const stop = new StopScanner(request.stop)
    const { prefixIds = new Uint32Array(0) } = request
    for (const id of prefixIds) stop.push(text.push(id))
    this.#tokensPrefilled += request.promptIds.length + prefixIds.length
    for (let index = prefixIds.length; index < ids.length; index++) {
      await this.#options.sleep(fault.stepMs ?? 0)
      if (index === fault.failAt) throw new FabricError(fault.code ?? 'CF_WORKER_HOST_LOST')
      if (signal.aborted) break
      const id = ids[index] ?? STOP
      this.#tokensDecoded += 1
      const said = id === STOP ? '' : text.push(id)
      const isStopped = id === STOP || stop.push(said)
      const finish = isStopped ? 'stop' : index + 1 === request.maxTokens ? 'length' : undefined
      const batch = { slot, ids: [id], logprobs: [SAID_LOGPROB], ...detailOf(id, request) }
      if (finish === undefined) yield { ...batch, text: said }
      else return yield { ...batch, text: said + text.end(), finish }
    }
    yield { slot, ids: [], logprobs: [], text: text.end(), finish: 'aborted' }
  }

  #answerIds(promptIds: Uint32Array, request: Pick<GenerateRequest, 'sampling' | 'seed'>): readonly number[] {
    const scripted = this.#options.answerOf(textOf([...promptIds]), request)
    return scripted === undefined ? answerIds(promptIds, request) : [...byteIds(scripted), STOP]
  }

  #known(): LoadedModel {
    if (this.#isClosed) throw new FabricError('CF_CONTROL_SHUTTING_DOWN')
    if (this.#model === undefined) throw new FabricError('CF_MODEL_UNKNOWN')
    return this.#model
  }

  #admit(): void {
    const countMax = this.#options.slotCount + this.#options.waitingCountMax
    if (this.#admitted >= countMax) throw new FabricError('CF_WORKER_QUEUE_FULL', { countMax })
    this.#admitted += 1
  }

  async #slot(): Promise<number> {
    while (this.#freeSlots.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.#freeSlots.shift() ?? 0
  }

  #release(slot: number): void {
    this.#freeSlots.push(slot)
    this.#waiting.shift()?.()
  }
}

/** What an honest fake says: at temperature 0 the seed does not matter. */
export function answerIds(
  promptIds: Uint32Array,
  { sampling, seed }: Pick<GenerateRequest, 'sampling' | 'seed'>,
): readonly number[] {
  const isGreedy = sampling.kind === 'gumbel-v1' ? sampling.temperatureMilli === 0 : sampling.temperature === 0
  const draw = createHash('sha512').update(promptIds.join(' '))
  if (!isGreedy) draw.update(sampling.kind === 'gumbel-v1' ? seed : `${sampling.seed}`)
  const [count = 0, ...picks] = draw.digest()
  const words = picks.slice(0, WORDS_MIN + (count % WORDS_SPREAD)).map((pick) => WORDS[pick % WORDS.length])
  return [...byteIds(`${words.join(' ')}.`), STOP]
}

/** The token itself, then the ids that follow it. */
function detailOf(id: number, { topLogprobs }: GenerateRequest): Pick<TokenBatch, 'details'> {
  if (topLogprobs === undefined) return {}
  const chance = (of: number, logprob: number): TokenChance => {
    const text = textOf([of])
    return { id: of, text: text.includes(REPLACEMENT) ? '' : text, logprob }
  }
  const said = chance(id, SAID_LOGPROB)
  const top = Array.from({ length: topLogprobs }, (_, rank) =>
    rank === 0 ? said : chance((id + rank) % (FIRST_BYTE + 256), OTHER_LOGPROB - rank),
  )
  return { details: [{ ...said, top }] }
}

/** A unit vector that any other text has no likeness to. */
export function hashVector(text: string): Float32Array {
  const bytes = createHash('sha512').update(text).digest()
  const values = Array.from({ length: FAKE_DIMENSIONS }, (_, place) => bytes.readInt32LE(place * 4))
  const norm = Math.hypot(...values)
  return Float32Array.from(values, (value) => value / norm)
}

function embeddedTokens(text: string, index: number, contextTokens: number): number {
  const tokens = wordIds(text).length
  if (tokens === 0) throw new FabricError('CF_JOB_INVALID', { field: 'texts', index })
  if (tokens > contextTokens) throw new FabricError('CF_JOB_CONTEXT_EXCEEDED', { index, tokens, contextTokens })
  return tokens
}

function judge(claimed: number, expected: number): AuditPosition {
  const topIds = [expected, expected === START ? STOP : START]
  const isSame = claimed === expected
  return { margin: isSame ? 0 : OUTSIDE_MARGIN_NATS, rank: isSame ? 0 : RANK_UNLISTED, topIds, topLogits: [20, 1] }
}

/** What a template makes of a value that it shows. */
function shown(value: object | undefined): string {
  return value === undefined ? '' : JSON.stringify(value)
}

function byteIds(text: string): number[] {
  return [...Buffer.from(text)].map((byte) => byte + FIRST_BYTE)
}

function wordIds(text: string): number[] {
  const words = text.split(/\s+/).filter((word) => word !== '')
  return words.map((word) => FIRST_BYTE + (createHash('sha256').update(word).digest()[0] ?? 0))
}

function textOf(ids: readonly number[]): string {
  return Buffer.from(ids.filter((id) => id >= FIRST_BYTE).map((id) => id - FIRST_BYTE)).toString()
}
