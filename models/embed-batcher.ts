/**
 * Turns the texts of all calls into batches for an engine that computes one batch at a time.
 *
 * An idle engine starts at once with what is there; what arrives meanwhile waits and goes together. A batch holds texts of about
 * one length, because every text is padded to the longest and the engine computes padding like text.
 */
import { FabricError } from '../core/errors.ts'
import { invariant } from '../core/invariant.ts'

export type BatcherOptions = {
  /** Of one batch. */
  readonly textCountMax: number
  /** Of one batch, padding included: bounds its memory, and how long it holds up what comes after. */
  readonly paddedTokensMax: number
  /** Texts whose token counts round up to the same multiple of this share batches: each is padded by less than this. */
  readonly bucketTokens: number
  /** A text that has waited this long goes before a bucket with more texts in it. */
  readonly patienceMs: number
  /** Texts that may wait, of all calls. */
  readonly waitingCountMax: number
}

export const BATCHER_DEFAULTS: BatcherOptions = {
  textCountMax: 32,
  paddedTokensMax: 1_024,
  bucketTokens: 8,
  patienceMs: 5,
  waitingCountMax: 1_024,
}

/**
 * For llama.cpp: beside others a text gets another vector there (components differ by up to 2e-3 in a q8_0 model of 125M parameters),
 * and on a processor the batches took as long as the texts one by one.
 */
export const ONE_AT_A_TIME: BatcherOptions = { ...BATCHER_DEFAULTS, textCountMax: 1 }

export type BatcherPorts = {
  /** Computes one vector for each text. */
  readonly run: (texts: readonly Uint32Array[]) => Promise<readonly Float32Array[]>
  readonly nowMs: () => number
}

type Waiting = { readonly ids: Uint32Array; readonly arrivedMs: number; readonly call: Call; readonly index: number }
type Call = {
  readonly vectors: (Float32Array | undefined)[]
  missing: number
  isCancelled: boolean
  readonly resolve: (vectors: readonly Float32Array[] | undefined) => void
  readonly reject: (error: unknown) => void
}

export class EmbedBatcher {
  readonly #options: BatcherOptions
  readonly #ports: BatcherPorts
  /** In order of arrival. */
  #waiting: Waiting[] = []
  readonly #calls = new Map<number, Call>()
  #isRunning = false
  tokensRead = 0

  constructor(options: BatcherOptions, ports: BatcherPorts) {
    this.#options = options
    this.#ports = ports
  }

  get callCount(): number {
    return this.#calls.size
  }

  /**
   * Waits for the vectors of one call's texts.
   *
   * @param texts  token ids, at least one for each text
   * @returns      in the order of the texts; undefined when the call was cancelled
   * @throws       FabricError CF_WORKER_QUEUE_FULL; what the engine throws
   */
  async embed(call: number, texts: readonly Uint32Array[]): Promise<readonly Float32Array[] | undefined> {
    const { waitingCountMax: countMax } = this.#options
    if (this.#waiting.length + texts.length > countMax) throw new FabricError('CF_WORKER_QUEUE_FULL', { countMax })
    const { promise, resolve, reject } = Promise.withResolvers<readonly Float32Array[] | undefined>()
    const entry: Call = {
      vectors: texts.map(() => undefined),
      missing: texts.length,
      isCancelled: false,
      ...{ resolve, reject },
    }
    const arrivedMs = this.#ports.nowMs()
    this.#calls.set(call, entry)
    this.#waiting.push(...texts.map((ids, index) => ({ ids, arrivedMs, call: entry, index })))
    this.#wake()
    try {
      return await promise
    } finally {
      this.#calls.delete(call)
    }
  }

  /** What of the call is being computed just now is computed to its end and dropped. */
  cancel(call: number): void {
    const entry = this.#calls.get(call)
    if (entry === undefined) return
    entry.isCancelled = true
    this.#waiting = this.#waiting.filter((text) => text.call !== entry)
    entry.resolve(undefined)
  }

  #wake(): void {
    if (this.#isRunning) return
    this.#isRunning = true
    void this.#loop()
  }

  async #loop(): Promise<void> {
    // Frames that were read together come in one turn of the event loop: they should share a batch.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#waiting.length > 0) await this.#step(this.#pick())
    this.#isRunning = false
  }

  async #step(batch: readonly Waiting[]): Promise<void> {
    try {
      const vectors = await this.#ports.run(batch.map(({ ids }) => ids))
      for (const [place, text] of batch.entries()) this.#take(text, vectors[place])
    } catch (error) {
      for (const { call } of batch) call.reject(error)
      this.#waiting = this.#waiting.filter(({ call }) => !batch.some((text) => text.call === call))
    }
  }

  #take({ ids, call, index }: Waiting, vector: Float32Array | undefined): void {
    this.tokensRead += ids.length
    call.vectors[index] = vector
    call.missing -= 1
    if (call.missing > 0 || call.isCancelled) return
    call.resolve(call.vectors.flatMap((found) => found ?? []))
  }

  /** The oldest texts of one bucket: of the oldest text's when that has waited long enough, else of the fullest. */
  #pick(): readonly Waiting[] {
    const { textCountMax, paddedTokensMax, bucketTokens, patienceMs } = this.#options
    // A map lists its keys as they first came, so the first bucket holds the oldest text; it also wins ties.
    const [first, ...others] = Map.groupBy(this.#waiting, ({ ids }) => Math.ceil(ids.length / bucketTokens))
    invariant(first !== undefined, 'a batch is picked while texts wait')
    const isLate = this.#ports.nowMs() - (this.#waiting[0]?.arrivedMs ?? 0) >= patienceMs
    const fuller = (best: typeof first, bucket: typeof first) => (bucket[1].length > best[1].length ? bucket : best)
    const [bucket, texts] = isLate ? first : others.reduce(fuller, first)
    const room = Math.floor(paddedTokensMax / (bucket * bucketTokens))
    const batch = texts.slice(0, Math.max(1, Math.min(textCountMax, room)))
    const taken = new Set(batch)
    this.#waiting = this.#waiting.filter((text) => !taken.has(text))
    return batch
  }
}
