/** Generations that begin before their order: who gets them, and that none is left over. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type PeerId, parseDigest, parseJobId } from '../../../../core/ids.ts'
import { invariant } from '../../../../core/invariant.ts'
import { type Intent, PLAIN, plainMessage } from '../../../../core/log/intent.ts'
import type { TokenBatch } from '../../../../models/backend.ts'
import { requestOf, type Work } from '../../../../node/jobs/compute.ts'
import type { NodeModel } from '../../../../node/jobs/model.ts'
import { Preparations } from '../../../../node/jobs/prepare.ts'
import { FAKE_DIGEST, type FakeOptions } from '../../../support/fake-backend.ts'
import { FAKE_CHAT, fakeModel, runnerOf } from '../../../support/fake-models.ts'
import { EDGE, JobRun } from '../../../support/job-run.ts'
import { settle } from '../../../support/manual-clock.ts'
import { SEED_NONCE, sharedSeeds } from '../../../support/seeds.ts'
import { within } from '../../../support/within.ts'

const NEVER = new AbortController().signal
const HERE = EDGE.peer
const [ELSEWHERE = HERE] = new JobRun().job.draw.ranked
const PAYLOAD = {
  ...PLAIN,
  ...{ salt: new Uint8Array(32), texts: [], logprobs: 0 },
  messages: [plainMessage('user', 'hello')],
}

type Bench = { readonly model: NodeModel; readonly preparations: Preparations }

async function benchOf(options: Partial<FakeOptions> = {}): Promise<Bench> {
  const model = await fakeModel(FAKE_CHAT, options)
  return { model, preparations: new Preparations(runnerOf(model), new Set([HERE])) }
}

async function workOf(model: NodeModel, place = 1): Promise<Work> {
  const jobId = parseJobId(String(place).padStart(64, '0'))
  const modelDigest = parseDigest(FAKE_DIGEST)
  invariant(jobId !== undefined && modelDigest !== undefined, 'digests')
  const promptTokens = (await model.promptIds('chat', PAYLOAD)).length
  const { intent: first } = new JobRun().first
  const intent: Intent = { ...first, modelDigest, promptTokens, maxTokens: 40 }
  return { jobId, user: EDGE.peer, intent, inputs: { payload: PAYLOAD, seedNonce: SEED_NONCE } }
}

/** @param nonce  of the worker's seed */
function drawn({ inputs: { payload }, ...work }: Work, workers: readonly PeerId[], nonce = SEED_NONCE) {
  return { ...work, payload, seeds: sharedSeeds(workers.length, nonce), workers }
}

async function textOf(batches: AsyncIterable<TokenBatch> | undefined): Promise<string> {
  invariant(batches !== undefined, 'something was begun')
  let text = ''
  for await (const batch of batches) text += batch.text
  return text
}

test(
  'what was begun is what the worker would have made itself, and is taken once',
  within(2_000, async () => {
    const { model, preparations } = await benchOf()
    const work = await workOf(model)
    preparations.begin(drawn(work, [HERE]))
    await settle()
    assert.is(model.running, 1)
    const text = await textOf(preparations.take(work.jobId, SEED_NONCE, NEVER))
    assert.is(text, await textOf(model.generate(await requestOf(model, 'chat', work), NEVER)))
    assert.is(preparations.take(work.jobId, SEED_NONCE, NEVER), undefined)
    assert.is(model.running, 0)
  }),
)

test(
  'what was begun under one seed is not taken by a worker whose replica has another',
  within(2_000, async () => {
    const { model, preparations } = await benchOf()
    const work = await workOf(model)
    preparations.begin(drawn(work, [HERE], new Uint8Array(32).fill(9)))
    await settle()
    assert.is(preparations.take(work.jobId, SEED_NONCE, NEVER), undefined)
    assert.is(model.running, 1, 'until its job says that nobody takes it')
    preparations.drop(work.jobId)
  }),
)

test(
  'nothing is begun for workers elsewhere, for a job twice, or beyond the slots',
  within(2_000, async () => {
    const { model, preparations } = await benchOf({ slotCount: 2 })
    const works = await Promise.all([1, 2, 3].map((place) => workOf(model, place)))
    for (const work of works) preparations.begin(drawn(work, [ELSEWHERE]))
    await settle()
    assert.is(model.running, 0)
    for (const work of [...works, ...works]) preparations.begin(drawn(work, [ELSEWHERE, HERE]))
    await settle()
    assert.is(model.running, 2)
    for (const { jobId } of works) preparations.drop(jobId)
  }),
)

test(
  'what is dropped gives its slot back, and nobody can take it',
  within(2_000, async () => {
    const { model, preparations } = await benchOf({ faultOf: () => ({ stepMs: 5 }) })
    const work = await workOf(model)
    preparations.begin(drawn(work, [HERE]))
    await settle()
    preparations.drop(work.jobId)
    assert.is(preparations.take(work.jobId, SEED_NONCE, NEVER), undefined)
    while (model.running > 0) await settle()
    preparations.drop(work.jobId)
  }),
)

test(
  'a node that stops ends whatever it has begun',
  within(2_000, async () => {
    const { model, preparations } = await benchOf()
    const works = [await workOf(model, 1), await workOf(model, 2)]
    for (const work of works) preparations.begin(drawn(work, [HERE]))
    await settle()
    assert.is(model.running, 2)
    preparations.close()
    await settle()
    assert.is(model.running, 0)
  }),
)

test(
  'a beginning that failed is forgotten, so that its worker begins anew',
  within(2_000, async () => {
    const { model, preparations } = await benchOf({
      faultOf: (_request, index) => (index === 0 ? { failAt: 0 } : undefined),
    })
    const work = await workOf(model)
    preparations.begin(drawn(work, [HERE]))
    await settle()
    while (model.running > 0) await settle()
    await settle()
    assert.is(preparations.take(work.jobId, SEED_NONCE, NEVER), undefined)
    const wrong = { ...work, intent: { ...work.intent, promptTokens: 1 } }
    preparations.begin(drawn(wrong, [HERE]))
    await settle()
    assert.is(preparations.take(work.jobId, SEED_NONCE, NEVER), undefined, 'more tokens than are paid for')
  }),
)

test(
  'a worker that is told to stop ends what was begun for it',
  within(2_000, async () => {
    const { model, preparations } = await benchOf({ faultOf: () => ({ stepMs: 5 }) })
    const work = await workOf(model)
    preparations.begin(drawn(work, [HERE]))
    const stop = new AbortController()
    const batches = preparations.take(work.jobId, SEED_NONCE, stop.signal)
    invariant(batches !== undefined, 'something was begun')
    let finish: string | undefined
    for await (const batch of batches) {
      stop.abort()
      finish = batch.finish ?? finish
    }
    assert.is(finish, 'aborted')
    assert.is(model.running, 0)
  }),
)

test.run()
