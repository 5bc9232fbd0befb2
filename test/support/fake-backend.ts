/**
 * A Backend without a model: bytes are its tokens, and its answers are drawn from a few words by a hash of the prompt and seed.
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
  GenerateRequest,
  LoadedModel,
  LoadRequest,
  TokenBatch,
} from '../../models/backend.ts'
import { checkAudit, checkGenerate, checkLoad } from '../../models/requests.ts'
import { promptSchedule } from '../../models/schedule.ts'
import { TextStream } from '../../models/text-stream.ts'

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
}

export const FAKE_DEFAULTS: FakeOptions = {
  slotCount: 4,
  waitingCountMax: 8,
  contextTokens: 1_024,
  sleep: (ms) => new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms))),
  faultOf: () => undefined,
}

export const FAKE_DIGEST = createHash('sha256').update('fake model').digest('hex')
export const FAKE_LOAD: LoadRequest = {
  path: '/fake.gguf',
  digest: FAKE_DIGEST,
  contextTokens: 1_024,
  slotCount: 4,
  threads: 1,
  memoryBytesMax: 1_073_741_824,
  gpu: 'off',
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
    if (request.digest !== FAKE_DIGEST) throw new FabricError('CF_MODEL_DIGEST_MISMATCH')
    const { memoryBytesMax } = request
    if (memoryBytesMax < MODEL_BYTES)
      throw new FabricError('CF_MODEL_OUT_OF_MEMORY', { bytes: MODEL_BYTES, memoryBytesMax })
    this.#model = {
      digest: FAKE_DIGEST,
      engineId: 'fake/1',
      vocabSize: FIRST_BYTE + 256,
      contextTokens: Math.min(request.contextTokens, this.#options.contextTokens),
      slotCount: this.#options.slotCount,
      templateDigest: createHash('sha256').update('fake template').digest('hex'),
      stopIds: [STOP],
    }
    return this.#model
  }

  async render(messages: readonly ChatMessage[]): Promise<string> {
    this.#known()
    const turns = messages.map(
      ({ role, content }) => `<|im_start|>${role}\n${content.replaceAll('<|', '<\u200b|')}<|im_end|>\n`,
    )
    return `${turns.join('')}<|im_start|>assistant\n`
  }

  async tokenize(text: string, parseSpecial: boolean): Promise<Uint32Array> {
    this.#known()
    const pieces = parseSpecial ? text.split(/(<\|im_start\|>|<\|im_end\|>)/) : [text]
    return Uint32Array.from(
      pieces.flatMap((piece) => (SPECIALS.includes(piece) ? [SPECIALS.indexOf(piece)] : byteIds(piece))),
    )
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
      const expected = answerIds(request.promptIds, request)
      return [...request.outputIds].map((id, index) => judge(id, expected[index] ?? STOP))
    } finally {
      this.#admitted -= 1
    }
  }

  async embed(): Promise<readonly Float32Array[]> {
    this.#known()
    throw new FabricError('CF_MODEL_UNSUPPORTED', { operation: 'embed' })
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
    }
  }

  async close(): Promise<void> {
    await this.abort()
    this.#isClosed = true
  }

  async *#speak(request: GenerateRequest, slot: number, signal: AbortSignal): AsyncIterable<TokenBatch> {
    const fault = this.#options.faultOf(request, this.#generated++) ?? {}
    const honest = answerIds(request.promptIds, request)
    const ids = fault.edit?.(honest) ?? honest
    const text = new TextStream(textOf, [])
    this.#tokensPrefilled += request.promptIds.length
    for (let index = 0; index < ids.length; index++) {
      await this.#options.sleep(fault.stepMs ?? 0)
      if (index === fault.failAt) throw new FabricError(fault.code ?? 'CF_WORKER_HOST_LOST')
      if (signal.aborted) break
      const id = ids[index] ?? STOP
      this.#tokensDecoded += 1
      const finish = id === STOP ? 'stop' : index + 1 === request.maxTokens ? 'length' : undefined
      const said = (id === STOP ? '' : text.push(id)) + (finish === undefined ? '' : text.end())
      yield { slot, ids: [id], logprobs: [-0.1], text: said, ...(finish === undefined ? {} : { finish }) }
      if (finish !== undefined) return
    }
    yield { slot, ids: [], logprobs: [], text: text.end(), finish: 'aborted' }
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

function judge(claimed: number, expected: number): AuditPosition {
  const topIds = [expected, expected === START ? STOP : START]
  const isSame = claimed === expected
  return { margin: isSame ? 0 : OUTSIDE_MARGIN_NATS, rank: isSame ? 0 : RANK_UNLISTED, topIds, topLogits: [20, 1] }
}

function byteIds(text: string): number[] {
  return [...Buffer.from(text)].map((byte) => byte + FIRST_BYTE)
}

function textOf(ids: readonly number[]): string {
  return Buffer.from(ids.filter((id) => id >= FIRST_BYTE).map((id) => id - FIRST_BYTE)).toString()
}
