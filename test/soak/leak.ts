/** Does a compute host grow with the jobs that it has done? */
import type { Backend, DriverKind, GenerateRequest } from '../../models/backend.ts'
import { answerOf, GREEDY, LLAMA, NEVER, WARM } from '../support/ask-backend.ts'
import { createHost, TINY_LOAD } from '../support/host.ts'
import { missing } from '../support/missing.ts'
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts'
import { type Line, lineThrough, type Point } from './line.ts'

export type LeakOptions = {
  readonly driver: Exclude<DriverKind, 'onnx'>
  readonly warmJobs: number
  readonly jobs: number
  readonly seed: number
}
export type LeakResult = LeakOptions & {
  readonly bytesPerJob: Line
  readonly residentBytes: { readonly warm: number; readonly end: number; readonly max: number }
  readonly given: number
  readonly ms: number
}

const SLOTS = 8
/** Between two looks at the memory. */
const JOBS_OF_POINT = 50
const TOKENS_MAX = 24
const PROMPT_TOKENS_MAX = 120
/** One job in so many is given up after a few milliseconds. */
const GIVEN_UP_ONE_IN = 10
const GIVEN_UP_MS_MAX = 20
const WORDS = 'Once upon a time there was a fox who lived by the blue sea and liked pie more than all the birds. '
const YES_OR_NO = 'root ::= ("yes" | "no" | " ")+'

/** Runs the jobs on a host of its own, always as many at once as it has slots. */
export async function measureLeak(options: LeakOptions): Promise<LeakResult> {
  const { driver, warmJobs, jobs, seed } = options
  const startedMs = performance.now()
  const { backend } = createHost()
  await backend.load({ ...TINY_LOAD, driver, slotCount: SLOTS, cachedSequences: 2 })
  const random = seededRandom(seed)
  const worker = new Worker(backend, await backend.tokenize(WORDS.repeat(10), true), random)
  for (let done = 0; done < warmJobs; done += JOBS_OF_POINT) await worker.run(JOBS_OF_POINT)
  const points: Point[] = [{ x: 0, y: await residentBytes(backend) }]
  for (let done = JOBS_OF_POINT; done <= jobs; done += JOBS_OF_POINT) {
    await worker.run(JOBS_OF_POINT)
    points.push({ x: done, y: await residentBytes(backend) })
  }
  await backend.close()
  const bytes = points.map(({ y }) => y)
  return {
    ...options,
    bytesPerJob: lineThrough(points),
    residentBytes: { warm: bytes[0] ?? 0, end: bytes.at(-1) ?? 0, max: Math.max(...bytes) },
    given: worker.givenUp,
    ms: Math.round(performance.now() - startedMs),
  }
}

class Worker {
  readonly #backend: Backend
  readonly #ids: Uint32Array
  readonly #random: SeededRandom
  givenUp = 0

  constructor(backend: Backend, ids: Uint32Array, random: SeededRandom) {
    this.#backend = backend
    this.#ids = ids
    this.#random = random
  }

  async run(count: number): Promise<void> {
    let left = count
    const lane = async (): Promise<void> => {
      while (left-- > 0) await this.#one()
    }
    await Promise.all(Array.from({ length: SLOTS }, lane))
  }

  async #one(): Promise<void> {
    const request = this.#request()
    const kind = this.#random.below(GIVEN_UP_ONE_IN)
    if (kind === 0) return this.#giveUp(request)
    if (kind === 1) return this.#audit(request)
    await answerOf(this.#backend.generate(request, NEVER))
  }

  async #giveUp(request: GenerateRequest): Promise<void> {
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(), this.#random.below(GIVEN_UP_MS_MAX))
    await answerOf(this.#backend.generate({ ...request, maxTokens: TOKENS_MAX * 10 }, stop.signal))
    clearTimeout(timer)
    this.givenUp += 1
  }

  async #audit({ promptIds, seed }: GenerateRequest): Promise<void> {
    const outputIds = this.#ids.subarray(0, 1 + this.#random.below(TOKENS_MAX))
    const chunks = this.#backend.schedule(promptIds.length)
    await this.#backend.audit({ promptIds, outputIds, sampling: WARM, seed, chunks }, NEVER)
  }

  /** All that a request may carry comes up. */
  #request(): GenerateRequest {
    const random = this.#random
    const promptIds = this.#ids.subarray(0, 1 + random.below(PROMPT_TOKENS_MAX))
    const wanted = { promptIds, seed: random.bytes(32), maxTokens: 1 + random.below(TOKENS_MAX) }
    const hot = { ...LLAMA, temperature: 1.5, seed: random.below(1_000) }
    const requests: readonly GenerateRequest[] = [
      { ...wanted, sampling: GREEDY, stop: [] },
      { ...wanted, sampling: WARM, stop: ['. ', 'never said'] },
      { ...wanted, sampling: WARM, stop: [], topLogprobs: 5 },
      { ...wanted, sampling: { ...hot, frequencyPenalty: 0.5 }, stop: [], cacheKey: 'soak' },
      { ...wanted, sampling: { ...hot, logitBias: [[300, 5]] }, stop: [], grammar: YES_OR_NO },
    ]
    return requests[random.below(requests.length)] ?? missing()
  }
}

async function residentBytes(backend: Backend): Promise<number> {
  return (await backend.metrics()).residentBytes
}
