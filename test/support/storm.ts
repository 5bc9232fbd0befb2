/** A storm of jobs that are given up at random moments, for a Backend that must come out of it as it went in. */
import type { Backend, GenerateRequest } from '../../models/backend.ts'
import { GREEDY, LLAMA, NEVER, WARM } from './ask-backend.ts'
import { missing } from './missing.ts'
import type { SeededRandom } from './seeded-random.ts'

export type StormOptions = {
  /** Jobs that are given up. */
  readonly aborts: number
  /** Jobs that run or wait at any time. */
  readonly streams: number
  readonly random: SeededRandom
}

export type StormCounts = {
  aborted: number
  left: number
  audits: number
  swept: number
  ended: number
  failed: string[]
}

const WORDS = 'Once upon a time there was a fox who lived by the blue sea and liked pie more than all the birds. '
/** Most are given up within these steps, also while they still read their prompt or wait. */
const STEPS_MAX = 16
/** Others by the clock: the moment is not tied to the arrival of a token. */
const PAUSE_MS_MAX = 40
const PROMPT_TOKENS_MAX = 160
const OUTPUT_TOKENS_MAX = 160
/** One in so many gives up everything at once. */
const SWEEP_ONE_IN = 60
const SAMPLERS = [GREEDY, WARM, { ...LLAMA, temperature: 2 }]

/** Runs until that many jobs were given up. @returns how they ended */
export async function storm(backend: Backend, options: StormOptions): Promise<StormCounts> {
  const ids = await backend.tokenize(WORDS.repeat(20), true)
  const counts: StormCounts = { aborted: 0, left: 0, audits: 0, swept: 0, ended: 0, failed: [] }
  let begun = 0
  const stream = async (): Promise<void> => {
    while (begun < options.aborts) {
      begun += 1
      const { random } = options
      const kind = random.below(10)
      if (random.below(SWEEP_ONE_IN) === 0) await sweep(backend, counts)
      else if (kind === 0) await giveUpAudit(backend, auditOf(ids, random), random, counts)
      else if (kind < 4) await leave(backend, jobOf(ids, random), random.below(STEPS_MAX), counts)
      else await giveUp(backend, jobOf(ids, random), random, counts)
    }
  }
  await Promise.all(Array.from({ length: options.streams }, stream))
  return counts
}

/** Hot enough never to find the end, with a prompt of any length. */
function jobOf(ids: Uint32Array, random: SeededRandom): GenerateRequest {
  const sampling = SAMPLERS[random.below(SAMPLERS.length)] ?? missing()
  const promptIds = ids.subarray(0, 1 + random.below(PROMPT_TOKENS_MAX))
  const cacheKey = sampling.kind === 'llama' && random.below(2) === 0 ? 'storm' : ''
  return {
    promptIds,
    sampling,
    seed: random.bytes(32),
    maxTokens: 1 + random.below(OUTPUT_TOKENS_MAX),
    stop: [],
    cacheKey,
  }
}

function auditOf(ids: Uint32Array, random: SeededRandom): Parameters<Backend['audit']>[0] {
  const promptIds = ids.subarray(0, 1 + random.below(PROMPT_TOKENS_MAX))
  const outputIds = ids.subarray(0, 1 + random.below(PROMPT_TOKENS_MAX))
  return { promptIds, outputIds, sampling: WARM, seed: random.bytes(32), chunks: [] }
}

/** Aborts after some time, wherever the job then is. */
async function giveUp(
  backend: Backend,
  request: GenerateRequest,
  random: SeededRandom,
  counts: StormCounts,
): Promise<void> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), random.below(PAUSE_MS_MAX))
  try {
    for await (const { finish } of backend.generate(request, stop.signal)) {
      if (finish === 'aborted') counts.aborted += 1
      else if (finish !== undefined) counts.ended += 1
    }
  } catch (error) {
    counts.failed.push(String(error))
  } finally {
    clearTimeout(timer)
  }
}

/** Stops reading after some steps. */
async function leave(backend: Backend, request: GenerateRequest, steps: number, counts: StormCounts): Promise<void> {
  let left = steps
  try {
    for await (const { finish } of backend.generate(request, NEVER)) {
      if (finish !== undefined) counts.ended += 1
      else if (left-- <= 0) {
        counts.left += 1
        break
      }
    }
  } catch (error) {
    counts.failed.push(String(error))
  }
}

async function giveUpAudit(
  backend: Backend,
  request: Parameters<Backend['audit']>[0],
  random: SeededRandom,
  counts: StormCounts,
): Promise<void> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(new Error('given up')), random.below(PAUSE_MS_MAX))
  const chunks = backend.schedule(request.promptIds.length)
  try {
    await backend.audit({ ...request, chunks }, stop.signal)
    counts.ended += 1
  } catch (error) {
    if (stop.signal.aborted) counts.audits += 1
    else counts.failed.push(String(error))
  } finally {
    clearTimeout(timer)
  }
}

async function sweep(backend: Backend, counts: StormCounts): Promise<void> {
  await backend.abort()
  counts.swept += 1
}
