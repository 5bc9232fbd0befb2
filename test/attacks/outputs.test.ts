/** Rows 6 to 10, 13 to 17 and 34: the model is the right one, what is shown is not what it said under the job's seed. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../core/limits.ts'
import { probePositions, probesAgree, probesOf } from '../../core/verification/audit.ts'
import { textDigest } from '../../core/verification/commitment.ts'
import { ALIKE_PERMILLE } from '../../core/verification/semantic.ts'
import { SPLIT_PERMILLE } from '../../node/jobs/seeds.ts'
import { NEVER } from '../support/ask-backend.ts'
import { closeHosts, createHost, USE_LOAD } from '../support/host.ts'
import { missing } from '../support/missing.ts'
import { digestNamed } from '../support/people.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'
import { observe } from './support/catalogue.ts'
import {
  type Audit,
  auditAll,
  auditOf,
  count,
  type Job,
  jobsFor,
  type Machine,
  machineWith,
  median,
  nats,
  type Output,
  promptOf,
  Q8,
  SMALL,
  say,
  sayAll,
  seedOf,
  tableFor,
  WARM,
} from './support/models.ts'

const LIMIT_MS = 200_000
const OUTPUTS = 24
/** A statistical verdict needs as many. */
const SHORT = 64

const test = suite<{ real: Machine }>('outputs')
test.before(async (context) => {
  context.real = await machineWith(Q8)
})
test.after(closeHosts)

const isFail = ({ verdict }: Audit): boolean => verdict === 'fail'

function lineOf(audits: readonly Audit[]): string {
  const mean = median(audits.map(({ statistics }) => statistics.meanMicro))
  return `${count(audits, isFail)} of ${audits.length} outputs of at most ${SHORT} tokens fail, median S1 ${nats(mean)} nats`
}

/** The outputs as answers to other jobs than those that they were made for. */
function claimedFor(outputs: readonly Output[], change: (job: Job, place: number) => Partial<Job>): readonly Output[] {
  return outputs.map((output, place) => ({ ...output, job: { ...output.job, ...change(output.job, place) } }))
}

/** So many jobs with several replicas hold one with split seeds, with a probability of at least `sure`. */
function jobsUntilSplit(sure: number): number {
  return Math.ceil(Math.log(1 - sure) / Math.log(1 - SPLIT_PERMILLE / 1_000))
}

function tau3(real: Machine): number {
  return Math.max(...tableFor(real.model.digest).rows.map(({ worstMicro }) => worstMicro)) / 1e6
}

test('row 6: an altered prompt fails', ({ real }) =>
  within(LIMIT_MS, async () => {
    const jobs = await jobsFor(real, OUTPUTS)
    const altered = await promptOf(real.backend, 'You must say that all is good. Once there was a dog who')
    const said = await sayAll(
      real,
      jobs.map((job) => ({ ...job, promptIds: altered })),
    )
    const audits = await auditAll(
      real,
      claimedFor(said, (_, place) => jobs[place] ?? missing()),
    )
    observe(6, lineOf(audits))
    assert.ok(count(audits, isFail) >= 0.9 * audits.length)
  })())

test('row 7: real logits filled in later agree at the probes, and the margins fail them', ({ real }) =>
  within(LIMIT_MS, async () => {
    const cheap = await machineWith(SMALL)
    const said = await sayAll(cheap, await jobsFor(real, OUTPUTS))
    // One pass of the real model gives the spoofer the same logits as the auditor, on whichever tokens.
    const [spoofed, audits] = [await auditAll(real, said), await auditAll(real, said)]
    const agree = count(audits, (audit) => {
      const place = audits.indexOf(audit)
      const ids = said[place]?.ids ?? []
      const at = probePositions(digestNamed('beacon'), 0, ids.length)
      return probesAgree(probesOf(spoofed[place]?.positions ?? [], at, ids), probesOf(audit.positions, at, ids))
    })
    observe(7, `the probes of ${agree} of ${audits.length} spoofed outputs agree, and ${lineOf(audits)}`)
    assert.is(agree, audits.length)
    assert.ok(count(audits, isFail) >= 0.9 * audits.length)
    await cheap.backend.close()
  })())

test('row 8: a seed of its own choosing fails', ({ real }) =>
  within(LIMIT_MS, async () => {
    const said = await sayAll(real, await jobsFor(real, OUTPUTS))
    const audits = await auditAll(
      real,
      claimedFor(said, (_, place) => ({ seed: seedOf(9_000 + place) })),
    )
    observe(8, lineOf(audits))
    assert.ok(count(audits, isFail) >= 0.9 * audits.length)
  })())

test('row 9: another sampler than the one that was asked for fails', ({ real }) =>
  within(LIMIT_MS, async () => {
    const asked = { ...WARM, temperatureMilli: 700 }
    const others = [
      ['T = 1.2 for 0.7', asked, { ...asked, temperatureMilli: 1_200 }],
      ['greedy for 0.7', asked, { ...asked, temperatureMilli: 0 }],
      ['top-k 40 for 2', { ...asked, topK: 2 }, asked],
    ] as const
    for (const [name, wanted, used] of others) {
      const said = await sayAll(real, await jobsFor(real, OUTPUTS, { sampling: used, maxTokens: 128 }))
      const audits = await auditAll(
        real,
        claimedFor(said, () => ({ sampling: wanted })),
      )
      const found = count(audits, isFail)
      observe(9, `${name}: ${found} of ${audits.length} outputs of at most 128 tokens fail`)
      assert.ok(found >= 0.5 * audits.length, name)
    }
  })())

test('row 10: what a peer said under another seed fails', ({ real }) =>
  within(LIMIT_MS, async () => {
    const said = await sayAll(real, await jobsFor(real, OUTPUTS, { maxTokens: 96 }))
    const copied = claimedFor(said, (_, place) => ({ seed: seedOf(20_000 + place) })).filter(
      ({ ids }) => ids.length >= SHORT,
    )
    const audits = await auditAll(real, copied)
    observe(
      10,
      `${count(audits, isFail)} of ${audits.length} copies of ${SHORT} tokens and more fail. Of 1,000 jobs ${SPLIT_PERMILLE} have such seeds, and all their outputs are audited: a worker that always copies is found within ${jobsUntilSplit(0.99)} jobs with 99 %; over the real roles in test/integration/seeds`,
    )
    assert.is(count(audits, isFail), audits.length)
  })())

test('row 13: random tokens fail at once', ({ real }) =>
  within(LIMIT_MS, async () => {
    const random = seededRandom(13)
    const jobs = await jobsFor(real, OUTPUTS)
    const { vocabSize, stopIds } = real.model
    const garbage = jobs.map((job) => ({
      job,
      ids: Array.from({ length: 32 }, () => random.below(vocabSize)).filter((id) => !stopIds.includes(id)),
    }))
    const audits = await auditAll(real, garbage)
    const firsts = audits.map(({ positions }) => positions.findIndex(({ margin }) => margin === 8))
    observe(
      13,
      `${count(audits, isFail)} of ${audits.length} outputs of 32 random tokens fail; the first impossible token is at position ${Math.max(...firsts)} or before`,
    )
    assert.is(count(audits, isFail), audits.length)
    assert.ok(Math.max(...firsts) <= 4 && Math.min(...firsts) >= 0)
  })())

test('row 14: an early end fails', ({ real }) =>
  within(LIMIT_MS, async () => {
    const stop = real.model.stopIds.at(-1) ?? missing()
    const said = await sayAll(real, await jobsFor(real, OUTPUTS, { maxTokens: 96 }))
    const cut = said.map((output) => ({ ...output, ids: [...output.ids.slice(0, output.ids.length >> 1), stop] }))
    const audits = await auditAll(real, cut)
    const least = Math.min(...audits.map(({ statistics }) => statistics.stopMicro))
    observe(
      14,
      `${count(audits, isFail)} of ${audits.length} halved outputs fail; smallest last margin ${nats(least)} nats`,
    )
    assert.ok(count(audits, isFail) >= 0.95 * audits.length)
  })())

test('row 15: an output that goes on where the model ended fails', ({ real }) =>
  within(LIMIT_MS, async () => {
    const jobs = await jobsFor(real, OUTPUTS, { maxTokens: 320 })
    const ended = (await sayAll(real, jobs)).filter(({ finish }) => finish === 'stop')
    const [onward = missing()] = await real.backend.tokenize(' And', false)
    const padded: Output[] = []
    for (const { job, ids } of ended.slice(0, 12)) {
      const prefixIds = Uint32Array.from([...ids.slice(0, -1), onward])
      const rest = await say(real, { ...job, maxTokens: prefixIds.length + 40 }, { prefixIds })
      padded.push({ ...rest, ids: [...prefixIds, ...rest.ids] })
    }
    const audits = await auditAll(real, padded)
    observe(15, `${count(audits, isFail)} of ${audits.length} outputs that skip their end and go on fail in the audit`)
    assert.ok(audits.length >= 8 && count(audits, isFail) >= 0.7 * audits.length)
  })())

/** Each pair is one token of the model's vocabulary. */
const EDITS: readonly (readonly [string, string])[] = [
  [' happy', ' sad'],
  [' big', ' little'],
  [' found', ' lost'],
  [' friend', ' dog'],
  [' never', ' always'],
  [' good', ' bad'],
  [' could', ' did'],
  [' said', ' ran'],
  [' day', ' night'],
  [' loved', ' hated'],
  [' red', ' blue'],
  [' new', ' old'],
]

type Edited = { readonly before: Output; readonly after: Output; readonly place: number }

async function editsOf(real: Machine, outputs: readonly Output[]): Promise<readonly Edited[]> {
  const single = async (word: string): Promise<number | undefined> => {
    const ids = await real.backend.tokenize(word, false)
    return ids.length === 1 ? ids[0] : undefined
  }
  const swaps = new Map<number, number>()
  for (const pair of EDITS) {
    const [one, other] = await Promise.all(pair.map(single))
    if (one !== undefined && other !== undefined) swaps.set(one, other).set(other, one)
  }
  const edited: Edited[] = []
  for (const before of outputs) {
    const place = before.ids.findIndex((id) => swaps.has(id))
    if (place < 0) continue
    const ids = before.ids.with(place, swaps.get(before.ids[place] ?? -1) ?? missing())
    const { promptIds } = before.job
    const text = await real.backend.detokenize({ promptIds, outputIds: Uint32Array.from(ids) })
    edited.push({ before, after: { ...before, ids, text }, place })
  }
  return edited
}

function cosine(a: Float32Array = new Float32Array(), b: Float32Array = new Float32Array()): number {
  return a.reduce((sum, value, place) => sum + value * (b[place] ?? 0), 0)
}

test('row 16: one changed word is seen by the margin and not by the cosine', ({ real }) =>
  within(LIMIT_MS, async () => {
    const said = await sayAll(real, await jobsFor(real, 40, { maxTokens: 48 }))
    const edited = await editsOf(real, said)
    const { backend: encoder } = createHost()
    await encoder.load(USE_LOAD)
    const texts = edited.flatMap(({ before, after }) => [before.text, after.text])
    const vectors: Float32Array[] = []
    for (let start = 0; start < texts.length; start += LIMITS.embeddingTextCountMax)
      vectors.push(...(await encoder.embed(texts.slice(start, start + LIMITS.embeddingTextCountMax), NEVER)).vectors)
    const cosines = edited.map((_, place) => cosine(vectors[2 * place], vectors[2 * place + 1]))
    const audits = await auditAll(
      real,
      edited.map(({ after }) => after),
    )
    const margins = edited.map(({ place }, at) => audits[at]?.positions[place]?.margin ?? 0)
    const found = count(margins, (margin) => margin > tau3(real))
    const alike = count(cosines, (value) => value * 1_000 >= ALIKE_PERMILLE)
    const [low, high] = [Math.min(...cosines), Math.max(...cosines)]
    observe(
      16,
      `${found} of ${edited.length} one-word edits lose more than ${tau3(real).toFixed(2)} nat at their place (median ${median(margins).toFixed(1)}), while the cosine calls ${alike} of ${edited.length} the same answer (${low.toFixed(3)} to ${high.toFixed(3)})`,
    )
    assert.ok(edited.length >= 10)
    assert.ok(found >= 0.8 * edited.length)
    assert.ok(alike >= 0.9 * edited.length)
    await encoder.close()
  })())

test('row 17: the answer of an older job fails under the seed of a new one', ({ real }) =>
  within(LIMIT_MS, async () => {
    const said = await sayAll(real, await jobsFor(real, OUTPUTS))
    const audits = await auditAll(
      real,
      claimedFor(said, (_, place) => ({ seed: seedOf(30_000 + place) })),
    )
    const cold = (await jobsFor(real, 8)).map((job) => ({ ...job, sampling: { ...WARM, temperatureMilli: 0 } }))
    const greedy = await auditAll(
      real,
      claimedFor(await sayAll(real, cold), () => ({ seed: seedOf(1) })),
    )
    observe(
      17,
      `committed anew: ${lineOf(audits)}; at T = 0 the old answer is the new one, ${count(greedy, ({ verdict }) => verdict === 'pass')} of ${greedy.length} pass`,
    )
    assert.ok(count(audits, isFail) >= 0.9 * audits.length)
  })())

test('row 34: other text on the right ids passes every margin and is not what the auditor spells', ({ real }) =>
  within(LIMIT_MS, async () => {
    const said = await sayAll(real, await jobsFor(real, 16))
    const spelled = await Promise.all(
      said.map(({ job, ids }) =>
        real.backend.detokenize({ promptIds: job.promptIds, outputIds: Uint32Array.from(ids) }),
      ),
    )
    const honest = count(spelled, (text) => said.some((one) => textDigest(one.text) === textDigest(text)))
    const tricks = [
      (text: string) => `${text}.`,
      (text: string) => text.replace('a', '\u0430'),
      (text: string) => `e\u0301${text}`,
    ]
    const caught = count(tricks, (trick) => spelled.every((text) => textDigest(trick(text)) !== textDigest(text)))
    const [first = missing()] = said
    const { verdict } = await auditOf(real, first)
    observe(
      34,
      `${honest} of ${said.length} streamed texts are the auditor's to the byte; ${caught} of ${tricks.length} ways to alter a text change its digest, though the ids' margins ${verdict}`,
    )
    assert.is(honest, said.length)
    assert.is(caught, tricks.length)
    assert.is(verdict, 'pass')
  })())

test.run()
