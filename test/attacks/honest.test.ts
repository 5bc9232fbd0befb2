/** Rows 36 to 40: nobody cheats, or nobody could tell, and no audit may say otherwise. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { marginOf } from '../../core/verification/margin.ts'
import type { LoadRequest } from '../../models/backend.ts'
import { answerOf, NEVER } from '../support/ask-backend.ts'
import { hasNativeEngine } from '../support/drivers.ts'
import { codeOf } from '../support/error-code.ts'
import { closeHosts } from '../support/host.ts'
import { missing } from '../support/missing.ts'
import { within } from '../support/within.ts'
import { observe } from './support/catalogue.ts'
import {
  type Audit,
  auditAll,
  count,
  inTurns,
  type Job,
  jobsFor,
  type Machine,
  machineWith,
  nats,
  type Output,
  Q8,
  SMALL,
  sayAll,
  WARM,
} from './support/models.ts'

const LIMIT_MS = 200_000
const OUTPUTS = 8
/** Where a model in 8 bits is sure of a token. */
const SURE = Math.log(0.95)

const test = suite<{ real: Machine }>('honest')
test.before(async (context) => {
  context.real = await machineWith(Q8)
})
test.after(closeHosts)

/** An engine that no table knows is not judged. */
const isPass = ({ verdict }: Audit): boolean => verdict === 'pass' || verdict === 'abstain'

function lineOf(audits: readonly Audit[]): string {
  const worst = Math.max(...audits.map(({ statistics }) => statistics.worstMicro))
  const tokens = audits.reduce((sum, { statistics }) => sum + statistics.positions, 0)
  const abstained = count(audits, ({ verdict }) => verdict === 'abstain')
  const unjudged = abstained === 0 ? '' : `, ${abstained} of them unjudged`
  return `${count(audits, isPass)} of ${audits.length} outputs, ${tokens} tokens, pass${unjudged}, largest margin ${nats(worst)} nats`
}

const SETTINGS: readonly (readonly [string, Partial<LoadRequest>])[] = [
  ['lock-step in place of the native engine', { driver: 'lockstep' }],
  ['without flash attention', { flashAttention: false }],
  ['two threads, one slot in place of four', { threads: 2, slotCount: 1 }],
  ['kernels for AVX2 (no CUDA here)', { kernels: 'haswell' }],
]

test('row 36: other engines and settings pass', ({ real }) =>
  within(LIMIT_MS, async () => {
    if (!hasNativeEngine()) return
    for (const [name, more] of SETTINGS) {
      if (more.kernels !== undefined && process.arch !== 'x64') {
        console.log('skipped other kernels: this is no x64 machine')
        continue
      }
      const other = await machineWith(Q8, more)
      const audits = await auditAll(real, await sayAll(other, await jobsFor(real, OUTPUTS, { maxTokens: 128 })), {
        prover: other,
      })
      observe(36, `${name}: ${lineOf(audits)}`)
      assert.is(count(audits, isPass), audits.length)
      await other.backend.close()
    }
  })())

test('row 36: margins of the native engine are those of the definition, to the bit', ({ real }) =>
  within(LIMIT_MS, async () => {
    const sampling = { ...WARM, temperatureMilli: 1_500 }
    const said = await sayAll(real, await jobsFor(real, 4, { sampling, maxTokens: 100 }))
    // Of another job's seed: hardly any margin is 0 then.
    const claimed = said.map((output) => ({ ...output, job: { ...output.job, seed: new Uint8Array(32).fill(77) } }))
    for (const [place, { positions }] of (await auditAll(real, claimed)).entries())
      for (const [t, { margin, rank, topIds, topLogits }] of positions.entries()) {
        const { job, ids } = claimed[place] ?? { job: undefined, ids: [] }
        const seed = job?.seed ?? new Uint8Array(32)
        const expected = marginOf(topIds, topLogits, ids[t] ?? -1, sampling.topK, 1.5, seed, t)
        assert.equal({ margin, rank }, { margin: expected.margin, rank: expected.rank })
      }
  })())

test('row 37: others beside change nothing, and no prefix is shared', ({ real }) =>
  within(LIMIT_MS, async () => {
    const jobs = await jobsFor(real, OUTPUTS, { maxTokens: 96 })
    const [first = missing()] = jobs
    const cached = { ...first, stop: [], cacheKey: 'one user' }
    assert.is(await codeOf(answerOf(real.backend.generate(cached, NEVER))), 'CF_JOB_INVALID')
    const audits = await auditAll(real, await sayAll(real, jobs))
    observe(
      37,
      `a shared prefix is refused to jobs that can be audited; ${OUTPUTS} at a time in four slots: ${lineOf(audits)}`,
    )
    assert.is(count(audits, isPass), audits.length)
  })())

test('row 38: a high temperature passes', ({ real }) =>
  within(LIMIT_MS, async () => {
    const other = await machineWith(Q8, { flashAttention: false })
    const sampling = { ...WARM, temperatureMilli: 1_500 }
    const openings = ['Random words:', '7 2 9 4', 'a', 'Once upon a time']
    const audits = await auditAll(
      real,
      await sayAll(other, await jobsFor(real, 24, { sampling, openings, maxTokens: 128 })),
      {
        prover: other,
      },
    )
    observe(38, `T = 1.5, without flash attention: ${lineOf(audits)}`)
    assert.is(count(audits, isPass), audits.length)
    await other.backend.close()
  })())

test('row 39: near ties pass', ({ real }) =>
  within(LIMIT_MS, async () => {
    const other = await machineWith(Q8, { flashAttention: false })
    const openings = [
      'a a a a a a a a a',
      '\n\n\n\n',
      'if (x) { return x } else { return',
      '1 + 1 = 2\n1 + 1 = 2\n1 +',
      '    ',
    ]
    const jobs = [0, 900].map((temperatureMilli) => ({
      openings,
      sampling: { ...WARM, temperatureMilli },
      maxTokens: 128,
    }))
    const outputs = (await Promise.all(jobs.map((parts) => jobsFor(real, 10, parts)))).flat()
    const audits = await auditAll(real, await sayAll(other, outputs), { prover: other })
    observe(39, `repetitions, white space, code; without flash attention: ${lineOf(audits)}`)
    assert.is(count(audits, isPass), audits.length)
    await other.backend.close()
  })())

/** Takes each token from the small model where that is sure of it, else from the real one. */
async function cascade(
  small: Machine,
  real: Machine,
  job: Job,
): Promise<Output & { readonly cheap: readonly boolean[] }> {
  const ids: number[] = []
  const cheap: boolean[] = []
  for (let t = 0; t < job.maxTokens; t += 1) {
    const request = { ...job, maxTokens: t + 1, stop: [], prefixIds: Uint32Array.from(ids) }
    const { batches } = await answerOf(small.backend.generate(request, NEVER))
    const isSure = (batches[0]?.logprobs[0] ?? Number.NEGATIVE_INFINITY) > SURE
    const from = isSure
      ? batches.flatMap((batch) => [...batch.ids])
      : (await answerOf(real.backend.generate(request, NEVER))).ids
    cheap.push(isSure)
    ids.push(...from)
    if (real.model.stopIds.includes(ids.at(-1) ?? -1)) break
  }
  return { job, ids, text: '', finish: 'length', cheap }
}

test('row 40: a cascade passes exactly where it says what the real model says', ({ real }) =>
  within(LIMIT_MS, async () => {
    const small = await machineWith(SMALL)
    const jobs = await jobsFor(real, 8, { sampling: { ...WARM, temperatureMilli: 700 }, maxTokens: 48 })
    const outputs = await inTurns(jobs, (job) => cascade(small, real, job))
    const audits = await auditAll(real, outputs)
    const positions = outputs.flatMap(({ cheap }, place) =>
      cheap.map((isCheap, t) => ({ isCheap, margin: audits[place]?.positions[t]?.margin ?? 0 })),
    )
    const fromSmall = positions.filter(({ isCheap }) => isCheap)
    const wrong = count(positions, ({ margin }) => margin > 0)
    observe(
      40,
      `${fromSmall.length} of ${positions.length} tokens from the small model, ${wrong} of them not the real model's; ${count(audits, isPass)} of ${audits.length} outputs pass`,
    )
    assert.ok(fromSmall.length > 0)
    assert.is(
      count(positions, ({ isCheap, margin }) => !isCheap && margin > 0),
      0,
      'tokens of the real model have no margin',
    )
    for (const [place, audit] of audits.entries())
      if (audit.statistics.worstMicro === 0) assert.is(audit.verdict, 'pass', `output ${place}`)
    await small.backend.close()
  })())

test.run()
