/** One job has one answer, whichever driver computes it and whatever runs beside it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Backend, GenerateRequest, LoadRequest } from '../../models/backend.ts'
import { uniform } from '../../models/sampler.ts'
import { type Answer, answerOf, GREEDY, LLAMA, NEVER } from '../support/ask-backend.ts'
import { hasNativeEngine, sharedLoad } from '../support/drivers.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { missing } from '../support/missing.ts'
import { within } from '../support/within.ts'

const STREAMS = 8
const TOKENS_MAX = 512
const JOBS = 60
const RESUME_TOKENS = 200
const LIMIT_MS = 120_000
const WARM = { kind: 'gumbel-v1', temperatureMilli: 800, topK: 40 } as const
/** What an audit forgives at the edge of the top-k. */
const MARGIN_NATS_MAX = 0.25
const PROMPT_SHARE = 0.6
const TALE = 'Once upon a time, there was a little girl named Lily. She loved to play outside. '

const test = suite<{ load?: LoadRequest }>('drivers')
test.after(closeHosts)

/** Of cfab-tiny the prompt takes more than one chunk; a tale that is not a question is long. */
async function jobOf(backend: Backend, contextTokens: number): Promise<GenerateRequest> {
  const tales = await backend.tokenize(TALE.repeat(40), true)
  const promptIds = tales.slice(0, Math.floor(contextTokens * PROMPT_SHARE))
  const maxTokens = Math.min(TOKENS_MAX, contextTokens - promptIds.length)
  return { promptIds, sampling: WARM, seed: new Uint8Array(32).fill(7), maxTokens, stop: [] }
}

/** Others that come and go meanwhile: lengths, seeds and samplers differ. */
function othersOf({ promptIds }: GenerateRequest): GenerateRequest[] {
  return Array.from({ length: STREAMS - 1 }, (_, index) => ({
    promptIds: promptIds.subarray(0, 5 + index * 9),
    sampling: [GREEDY, WARM, LLAMA][index % 3] ?? missing(),
    seed: new Uint8Array(32).fill(index),
    maxTokens: 20 + index * 30,
    stop: [],
  }))
}

async function ask(
  load: LoadRequest,
  run: (backend: Backend, job: GenerateRequest) => Promise<Answer>,
): Promise<Answer> {
  const { backend } = createHost()
  const { contextTokens } = await backend.load(load)
  try {
    return await run(backend, await jobOf(backend, contextTokens))
  } finally {
    await backend.close()
  }
}

const alone = (backend: Backend, job: GenerateRequest): Promise<Answer> => answerOf(backend.generate(job, NEVER))

async function amongOthers(backend: Backend, job: GenerateRequest): Promise<Answer> {
  const others = othersOf(job).map((other) => answerOf(backend.generate(other, NEVER)))
  const answer = await alone(backend, job)
  await Promise.all(others)
  return answer
}

/** Goes on after the first ids of the answer, as another worker would. */
const after =
  (ids: readonly number[], cut: number) =>
  (backend: Backend, job: GenerateRequest): Promise<Answer> =>
    alone(backend, { ...job, prefixIds: Uint32Array.from(ids.slice(0, cut)) })

/** The most that any token of the answer loses in a pass of its own, in nats. */
async function marginOf(load: LoadRequest, ids: readonly number[]): Promise<number> {
  const { backend } = createHost()
  const { contextTokens } = await backend.load(load)
  const { promptIds, sampling, seed } = await jobOf(backend, contextTokens)
  const request = {
    promptIds,
    outputIds: Uint32Array.from(ids),
    sampling,
    seed,
    chunks: backend.schedule(promptIds.length),
  }
  const positions = await backend.audit(request, NEVER)
  await backend.close()
  return Math.max(...positions.map(({ margin }) => margin))
}

function sameAnswerTest(name: string, load: LoadRequest): void {
  test(
    `${name}: one job, one answer: native alone, again, among ${STREAMS} streams, in lock-step, and begun by another`,
    within(LIMIT_MS, async () => {
      const request: LoadRequest = { ...load, slotCount: STREAMS, driver: 'native' }
      const first = await ask(request, alone)
      assert.ok(first.ids.length > RESUME_TOKENS, `${first.ids.length} tokens show little`)
      const others = [
        await ask(request, alone),
        await ask(request, amongOthers),
        await ask({ ...request, driver: 'lockstep' }, alone),
        await ask({ ...request, driver: 'lockstep' }, amongOthers),
      ]
      for (const other of others) assert.equal(other.ids, first.ids)
      assert.equal(
        others.map(({ text }) => text),
        others.map(() => first.text),
      )
      for (const driver of ['native', 'lockstep'] as const) {
        const rest = await ask({ ...request, driver }, after(first.ids, RESUME_TOKENS))
        assert.equal(rest.ids, first.ids.slice(RESUME_TOKENS), `${driver} goes on`)
        assert.ok(first.text.endsWith(rest.text))
      }
      assert.is(await marginOf(request, first.ids), 0, 'a native audit finds what was chosen')
      assert.is(await marginOf({ ...request, driver: 'lockstep' }, first.ids), 0, 'so does one in lock-step')
      console.log(`${name}: ${first.ids.length} tokens, ${first.finish}`)
    }),
  )
}

/** In full floats a batch of one and a batch of more are computed by different kernels. */
function floatTest(load: LoadRequest): void {
  test(
    'stories260K f32: both drivers say the same alone, and what is said among others passes an audit',
    within(LIMIT_MS, async () => {
      const request: LoadRequest = { ...load, slotCount: STREAMS, driver: 'native' }
      const native = await ask(request, alone)
      const lockstep = await ask({ ...request, driver: 'lockstep' }, alone)
      assert.equal(lockstep.ids, native.ids)
      const among = await ask(request, amongOthers)
      const same = among.ids.findIndex((id, index) => id !== native.ids[index])
      const margins = await Promise.all([native, among].map(({ ids }) => marginOf(request, ids)))
      console.log(
        `stories260K f32: ${same < 0 ? 'all' : same} of ${native.ids.length} tokens the same, margins ${margins.join(' and ')}`,
      )
      assert.ok(margins.every((margin) => margin < MARGIN_NATS_MAX))
    }),
  )
}

/** Chance that can be played again. */
function chanceOf(seed: number): { below(bound: number): number; pick<T>(list: readonly T[]): T } {
  let drawn = 0
  const below = (bound: number): number => Math.floor(uniform(seed, drawn++) * bound)
  return { below, pick: (list) => list[below(list.length)] ?? missing() }
}

/** Prompts are short: of a longer one lock-step computes the end again, alone, where a grammar forbids all of the best. */
function anyJob(vocabSize: number, seed: number): GenerateRequest {
  const { below, pick } = chanceOf(seed)
  const grammar = pick(['', '', 'root ::= ("yes" | "no") "."', 'root ::= "é世"+ "🙂"', 'root ::= [^a-z]+'])
  const logitBias = Array.from({ length: pick([0, 3, 60]) }, () => [below(vocabSize), below(30) - 5] as const)
  const warm = { temperature: pick([0, 0.5, 2]), topK: pick([0, 1, 40]), topP: pick([1, 0.5]), minP: pick([0, 0.1, 1]) }
  const penalties = { frequencyPenalty: pick([0, -2, 1.5]), presencePenalty: pick([0, 2]), seed, logitBias }
  const isPlain = grammar === '' && below(3) === 0
  const maxTokens = pick([1, 2, 30])
  const said = below(3) === 0 ? below(maxTokens) : 0
  return {
    promptIds: Uint32Array.from({ length: 1 + below(60) }, () => below(vocabSize)),
    sampling: isPlain ? pick([GREEDY, WARM]) : { kind: 'llama', ...warm, ...penalties },
    seed: new Uint8Array(32).fill(seed),
    maxTokens,
    prefixIds: Uint32Array.from({ length: said }, () => below(vocabSize)),
    stop: Array.from({ length: below(4) }, () => pick(['a', 'e ', 'the', '\ufffd', 'é', '🙂', '"'])),
    ...(below(2) === 0 ? { topLogprobs: below(21) } : {}),
    ...(grammar === '' ? {} : { grammar }),
    showControl: below(2) === 0,
  }
}

function anyJobTest(load: LoadRequest): void {
  test(
    'any job has one answer: text, log-probabilities, alternatives and end',
    within(LIMIT_MS, async () => {
      const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
      console.log(`SEED=${seed}`)
      const answers = (['native', 'lockstep'] as const).map(async (driver) => {
        const { backend } = createHost()
        const { vocabSize } = await backend.load({ ...load, driver })
        const asked = Array.from({ length: JOBS }, (_, index) =>
          answerOf(backend.generate(anyJob(vocabSize, seed + index), NEVER)).catch((error: unknown) => String(error)),
        )
        const all = await Promise.all(asked)
        await backend.close()
        return all.map((answer) =>
          typeof answer === 'string' ? answer : answer.batches.map(({ slot: _slot, ...batch }) => batch),
        )
      })
      const [native = [], lockstep = []] = await Promise.all(answers)
      for (const [index, answer] of native.entries()) assert.equal(answer, lockstep[index], `job ${index}`)
    }),
  )
}

const stories = await sharedLoad('stories260K-q8_0.gguf')
const wide = await sharedLoad('stories260K-f32.gguf')
if (hasNativeEngine()) {
  sameAnswerTest('cfab-tiny q8_0', TINY_LOAD)
  anyJobTest(TINY_LOAD)
  if (stories !== undefined) sameAnswerTest('stories260K q8_0', stories)

  if (wide !== undefined) floatTest(wide)

  test(
    'both drivers of the same libraries have the same name',
    within(LIMIT_MS, async () => {
      const names = ['native', 'lockstep'].map(async (driver) => {
        const { backend } = createHost()
        const { engineId } = await backend.load({ ...TINY_LOAD, driver: driver === 'native' ? 'native' : 'lockstep' })
        return engineId
      })
      const [native, lockstep] = await Promise.all(names)
      assert.is(native, lockstep)
    }),
  )

  test(
    'with keys and values of 8 bits, or without flash attention, neither driver has the usual name',
    within(LIMIT_MS, async () => {
      const nameOf = async (part: Partial<LoadRequest>): Promise<string> => {
        const { backend } = createHost()
        const { engineId } = await backend.load({ ...TINY_LOAD, ...part })
        await backend.close()
        return engineId
      }
      const usual = await nameOf({})
      for (const driver of ['native', 'lockstep'] as const) {
        assert.is(await nameOf({ driver, kvType: 'q8_0' }), `${usual} kv-q8_0`)
        assert.is(await nameOf({ driver, flashAttention: false }), `${usual} fa-off`)
      }
    }),
  )
} else {
  test(
    'without the native engine lock-step runs, and says why',
    within(LIMIT_MS, async () => {
      const { backend } = createHost()
      const { driver } = await backend.load(TINY_LOAD)
      assert.is(driver.kind, 'lockstep')
      assert.ok(driver.reason.length > 0)
    }),
  )
}
test.run()
