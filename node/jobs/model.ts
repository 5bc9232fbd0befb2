/** One model that this node runs: what it is, how busy it is, and its words in tokens. */
import { domainHash } from '#core/hash'
import { toHex, utf8 } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { rememberWithin } from '../../core/identity/bounded-cache.ts'
import type { ModelFacts } from '../../core/job/judge.ts'
import type { Task } from '../../core/log/intent.ts'
import type {
  Backend,
  ChatMessage,
  Embedded,
  GenerateRequest,
  LoadedModel,
  LoadRequest,
  TokenBatch,
} from '../../models/backend.ts'
import type { CatalogueEntry } from '../../models/catalogue.ts'

/** The words of a job: messages of a chat, the text of a completion, the texts to embed. */
export type Words = { readonly messages: readonly ChatMessage[]; readonly texts: readonly string[] }

/** Of half a megabyte each at most. */
const PROMPTS_MAX = 16

export class NodeModel {
  readonly entry: CatalogueEntry
  readonly #backend: Backend
  readonly #waitingMax: number
  readonly #settled: Promise<void>
  #settle: () => void = () => undefined
  #loaded: LoadedModel | undefined
  #failure: FabricError | undefined
  #start: Uint32Array | undefined
  /** Of the prompts asked for last, by the digest of their words: an edge counts them, then its workers read the same ones. */
  readonly #prompts = new Map<string, Uint32Array>()
  #running = 0

  /** @param waitingMax  calls that may wait for a slot beyond those that run; more are answered `busy` */
  constructor(entry: CatalogueEntry, backend: Backend, waitingMax: number) {
    this.entry = entry
    this.#backend = backend
    this.#waitingMax = waitingMax
    this.#settled = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  /** @throws FabricError CF_MODEL_*, CF_WORKER_HOST_LOST; whoever waits for the model hears of it too */
  async load(request: LoadRequest): Promise<LoadedModel> {
    try {
      this.#loaded = await this.#backend.load(request)
      return this.#loaded
    } catch (error) {
      this.#failure = error instanceof FabricError ? error : new FabricError('CF_MODEL_LOAD_FAILED', {}, error)
      throw error
    } finally {
      this.#settle()
    }
  }

  get loaded(): LoadedModel | undefined {
    return this.#loaded
  }

  /** Why it will not be loaded, or null. */
  get failure(): string | null {
    return this.#failure?.code ?? null
  }

  /** @throws FabricError CF_WORKER_STARTING, or the code that its load failed with */
  now(): LoadedModel {
    if (this.#loaded !== undefined) return this.#loaded
    throw new FabricError(this.#failure?.code ?? 'CF_WORKER_STARTING', { model: this.entry.id })
  }

  /** Waits for a load that is under way. @throws as `now`, or the signal's reason */
  async ready(signal: AbortSignal): Promise<LoadedModel> {
    if (this.#loaded === undefined && this.#failure === undefined) await unlessAborted(this.#settled, signal)
    return this.now()
  }

  get facts(): ModelFacts | undefined {
    if (this.#loaded === undefined) return undefined
    const { vocabSize, stopIds, dimensions } = this.#loaded
    return { megaParams: this.entry.megaParams, vocabSize, stopIds, dimensions }
  }

  /** Calls that would be taken now. */
  slotsFree(): number {
    return this.#loaded === undefined ? 0 : Math.max(0, this.#loaded.slotCount + this.#waitingMax - this.#running)
  }

  get running(): number {
    return this.#running
  }

  /** @returns the prompt's ids; of an embedding job they are in `counts` */
  async promptIds(task: Exclude<Task, 'embedding'>, words: Words): Promise<Uint32Array> {
    const name = toHex(domainHash('prompt', utf8(JSON.stringify([task, words.messages, words.texts]))))
    return (
      this.#prompts.get(name) ?? rememberWithin(this.#prompts, name, await this.#promptIds(task, words), PROMPTS_MAX)
    )
  }

  async #promptIds(task: Exclude<Task, 'embedding'>, { messages, texts }: Words): Promise<Uint32Array> {
    if (task === 'chat') return this.#backend.tokenize(await this.#backend.render(messages), true)
    // Plain text: what looks like a control token is none. The start token is the model's own affair, as in a template.
    this.#start ??= await this.#backend.tokenize('', true)
    return Uint32Array.from([...this.#start, ...(await this.#backend.tokenize(texts[0] ?? '', false))])
  }

  /** Tokens of each text of an embedding job. */
  counts(texts: readonly string[]): Promise<readonly number[]> {
    return Promise.all(texts.map(async (text) => (await this.#backend.tokenize(text, false)).length))
  }

  schedule(promptTokens: number): readonly number[] {
    return this.#backend.schedule(promptTokens)
  }

  async *generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<TokenBatch> {
    this.#running += 1
    try {
      yield* this.#backend.generate(request, signal)
    } finally {
      this.#running -= 1
    }
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedded> {
    this.#running += 1
    try {
      return await this.#backend.embed(texts, signal)
    } finally {
      this.#running -= 1
    }
  }
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const stop = new AbortController()
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: stop.signal })
  })
  try {
    await Promise.race([work, aborted])
  } finally {
    stop.abort()
  }
}
