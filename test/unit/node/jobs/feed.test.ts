import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PeerId } from '../../../../core/ids.ts'
import { JobFeed } from '../../../../node/jobs/feed.ts'
import { FeedShelf, outcomeOf } from '../../../../node/jobs/feed-shelf.ts'
import type { JobProgress } from '../../../../node/runtime/app.ts'
import { assigned, runTo } from '../../../support/every-phase.ts'
import { NOW_MS, OUTPUT } from '../../../support/job-run.ts'
import { jobNamed, keyNamed } from '../../../support/people.ts'
import { type End, settledRun } from '../../../support/settled-job.ts'
import { within } from '../../../support/within.ts'

const tokens = (id: number): JobProgress => ({ type: 'tokens', ids: [id], text: `${id} ` })
const OUTCOME: JobProgress = {
  ...{ type: 'outcome', outcome: 'verified', assurance: 'local', reason: 'verified', receiptId: jobNamed('a') },
  ...{ cost: 1n, refund: 2n },
}

async function heard(feed: JobFeed, signal: AbortSignal): Promise<readonly JobProgress[]> {
  const list: JobProgress[] = []
  for await (const progress of feed.listen(signal)) list.push(progress)
  return list
}

test(
  'every listener hears everything from the beginning, in order, whenever it comes',
  within(2_000, async (signal) => {
    const feed = new JobFeed(100)
    const early = heard(feed, signal)
    for (let id = 0; id < 10; id += 1) feed.push(tokens(id))
    const middle = heard(feed, signal)
    await Promise.resolve()
    for (let id = 10; id < 20; id += 1) feed.push(tokens(id))
    feed.push(OUTCOME)
    const all = await early
    assert.is(all.length, 21)
    assert.equal(
      all.slice(0, 20),
      Array.from({ length: 20 }, (_, id) => tokens(id)),
    )
    assert.equal(await middle, all)
    assert.equal(await heard(feed, signal), all, 'also after the end')
  }),
)

test(
  'a listener that waits hears the outcome itself, and one whose signal aborts hears no more',
  within(2_000, async (signal) => {
    const feed = new JobFeed(100)
    const gone = new AbortController()
    const [patient, leaving] = [heard(feed, signal), heard(feed, gone.signal)]
    feed.push(tokens(1))
    await new Promise((resolve) => setImmediate(resolve))
    gone.abort()
    assert.equal(await leaving, [tokens(1)])
    feed.push(OUTCOME)
    assert.equal(await patient, [tokens(1), OUTCOME])
    assert.equal(await heard(feed, gone.signal), [], 'nor one that comes aborted')
  }),
)

test(
  'a feed ends with exactly one outcome, and nothing follows it',
  within(2_000, async (signal) => {
    const feed = new JobFeed(10)
    feed.push(OUTCOME)
    assert.ok(feed.closed)
    feed.push(tokens(1))
    feed.push({ ...OUTCOME, reason: 'another' })
    assert.equal(await heard(feed, signal), [OUTCOME])
  }),
)

test(
  'beyond its bound a feed drops what comes, but never the outcome',
  within(2_000, async (signal) => {
    const feed = new JobFeed(10)
    for (let id = 0; id < 10_000; id += 1) feed.push(tokens(id))
    feed.push(OUTCOME)
    const all = await heard(feed, signal)
    assert.is(all.length, 10 + 64 + 1)
    assert.equal(all.at(-1), OUTCOME)
    assert.equal(all[73], tokens(73))
  }),
)

test(
  'likelihoods are kept up to a bound in bytes: tokens behind it are heard without',
  within(5_000, async (signal) => {
    const chance = { id: 1, text: 'x'.repeat(256), logprob: -1 }
    const details = [{ ...chance, top: Array.from({ length: 20 }, () => chance) }]
    const feed = new JobFeed(2_000)
    for (let id = 0; id < 2_000; id += 1) feed.push({ type: 'tokens', ids: [id], text: '', details })
    feed.push(OUTCOME)
    const all = await heard(feed, signal)
    assert.is(all.length, 2_001, 'no token is lost')
    const shown = all.filter((progress) => progress.type === 'tokens' && progress.details !== undefined).length
    assert.ok(shown > 500 && shown < 1_000, `${shown} with details`)
    assert.ok(feed.bytes < 10 * 2 ** 20, `${feed.bytes} bytes`)
  }),
)

test('closed feeds are bounded in bytes too, the oldest go first', () => {
  const shelf = new FeedShelf(512, 100_000)
  const ids = ['a', 'b', 'c', 'd'].map(jobNamed)
  for (const id of ids) {
    shelf.open(id, 10, true)
    shelf.get(id)?.push({ type: 'vectors', vectors: [new Float32Array(10_000)] })
    shelf.get(id)?.push(OUTCOME)
  }
  shelf.open(jobNamed('e'), 10, true)
  assert.equal(
    ids.map((id) => shelf.get(id) !== undefined),
    [false, false, true, true],
  )
})

test(
  'a listener that goes away stops waiting',
  within(2_000, async (signal) => {
    const feed = new JobFeed(10)
    feed.push(tokens(1))
    const gone = new AbortController()
    const listening = heard(feed, AbortSignal.any([gone.signal, signal]))
    await Promise.resolve()
    gone.abort()
    assert.equal(await listening, [tokens(1)])
    assert.equal(await heard(feed, AbortSignal.abort()), [])
  }),
)

const workerOf = (replica: number): PeerId => keyNamed(`w${replica}`).peer

function shelved() {
  const run = runTo(assigned)
  const shelf = new FeedShelf(3)
  shelf.open(run.id, run.job.intent.maxTokens, true)
  return { run, shelf, feed: shelf.get(run.id) ?? new JobFeed(0) }
}

test(
  'the first replica that speaks is the only one that is heard',
  within(2_000, async (signal) => {
    const { run, shelf, feed } = shelved()
    assert.is(shelf.tokens(run.job, 2, workerOf(2), { ids: [7], text: 'seven' }, 5), true)
    assert.is(shelf.tokens(run.job, 0, workerOf(0), { ids: [8], text: 'eight' }, 5), false)
    assert.is(shelf.tokens(run.job, 2, workerOf(2), { ids: [9], text: 'nine' }, 5), false)
    assert.is(shelf.finished(run.job, 0, workerOf(0), { finish: 'stop', ids: [8] }), undefined)
    assert.equal(shelf.finished(run.job, 2, workerOf(2), { finish: 'stop', ids: [7, 9] }), [
      { worker: workerOf(2), tokenStart: 0, tokenCount: 2 },
    ])
    feed.push(OUTCOME)
    assert.equal(await heard(feed, signal), [
      { type: 'phase', phase: 'executing', atMs: 5, detail: '3 replicas' },
      { type: 'tokens', ids: [7], text: 'seven' },
      { type: 'tokens', ids: [9], text: 'nine' },
      { type: 'finish', finish: 'stop', completionTokens: 2 },
      OUTCOME,
    ])
  }),
)

test('tokens of a job without a feed go nowhere', () => {
  const { run, shelf } = shelved()
  const other = runTo(assigned, { intent: { nonce: 2n } })
  assert.is(shelf.tokens(other.job, 0, workerOf(0), { ids: [1], text: 'x' }, 5), false)
  assert.is(shelf.get(other.id), undefined)
  assert.is(shelf.finished(run.job, 0, workerOf(0), { finish: 'stop', ids: [] }), undefined)
})

test('the shelf drops the oldest closed feeds, and none that is open', () => {
  const shelf = new FeedShelf(2)
  const ids = ['a', 'b', 'c', 'd'].map(jobNamed)
  for (const id of ids) shelf.open(id, 10, true)
  assert.is(ids.filter((id) => shelf.get(id) !== undefined).length, 4, 'open feeds are bounded by the open jobs')
  for (const id of ids) shelf.get(id)?.push(OUTCOME)
  shelf.open(jobNamed('e'), 10, true)
  assert.equal(
    ids.map((id) => shelf.get(id) !== undefined),
    [false, false, false, true],
  )
})

test(
  'in before mode nobody hears a token until the verdict, and then the whole chosen output',
  within(2_000, async (signal) => {
    const { run, job } = settledRun('before')
    const shelf = new FeedShelf(3)
    shelf.open(run.id, 256, true)
    const before = run.trail.at(-2)?.job ?? run.first
    assert.is(shelf.tokens(before, 0, workerOf(0), { ids: [1], text: 'secret' }, 5), false)
    shelf.changed(before, job, NOW_MS)
    const all = await heard(shelf.get(run.id) ?? new JobFeed(0), signal)
    assert.equal(
      all.map(({ type }) => type),
      ['phase', 'tokens', 'finish', 'outcome'],
    )
    assert.equal(all[1], { type: 'tokens', ids: [...OUTPUT], text: 'a text' })
    assert.equal(await heard(shelf.replay(job), signal).then((list) => list.map(({ type }) => type)), [
      'phase',
      'tokens',
      'finish',
      'outcome',
    ])
  }),
)

test(
  'the vectors of an embedding job are heard after the verdict, whole, with a finish that counts no tokens',
  within(2_000, async (signal) => {
    const { run, job } = settledRun('vectors')
    const shelf = new FeedShelf(3)
    shelf.open(run.id, 2, true)
    const before = run.trail.at(-2)?.job ?? run.first
    shelf.changed(before, job, NOW_MS)
    for (const feed of [shelf.get(run.id) ?? new JobFeed(0), shelf.replay(job)]) {
      const all = (await heard(feed, signal)).filter(({ type }) => type !== 'phase')
      const [first, second, third] = all
      assert.equal(
        all.map(({ type }) => type),
        ['vectors', 'finish', 'outcome'],
      )
      assert.ok(first?.type === 'vectors' && first.vectors.length === 2 && first.vectors[0]?.length === 16)
      assert.equal(second, { type: 'finish', finish: 'stop', completionTokens: 0 })
      assert.is(third?.type === 'outcome' && third.outcome, 'verified')
    }
  }),
)

test('the outcome of a job follows from its settlement', () => {
  const expected: Partial<Record<End, string>> = {
    three: 'verified',
    rejected: 'rejected',
    no_workers: 'refunded',
    expired: 'refunded',
  }
  for (const end of ['three', 'rejected', 'no_workers', 'expired'] as const) {
    const { job } = settledRun(end)
    const { outcome, cost, refund, receiptId } = outcomeOf(job)
    assert.is(outcome, expected[end])
    assert.is(cost + refund, job.hold.amount)
    assert.is(cost > 0n, end === 'three')
    assert.is(receiptId, job.id)
  }
})

test.run()
