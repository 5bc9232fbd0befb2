import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { columnsOf, positionsOf } from '../../../models/audited.ts'
import { auditColumns, auditJob, failureOf, generateJob } from '../../../models/native/jobs.ts'
import { GREEDY, LLAMA, requestOf } from '../../support/ask-backend.ts'

const PROMPT = Uint32Array.from({ length: 600 }, (_, index) => index)
const bytesOf = (list: Float64Array | Float32Array | Int32Array): Uint8Array => new Uint8Array(list.buffer)

test('a prompt is read by the schedule that its worker commits to', () => {
  assert.equal([...generateJob(1, requestOf(PROMPT)).chunks], [512, 88])
})

test('what a request leaves out is off', () => {
  const job = generateJob(5, { ...requestOf(PROMPT), sampling: GREEDY })
  const { grammar, topLogprobs, prefix, showControl, cacheKey, isLow, call } = job
  assert.equal(
    { grammar, topLogprobs, prefix, showControl, cacheKey, isLow, call },
    {
      ...{
        grammar: '',
        topLogprobs: -1,
        prefix: new Uint32Array(0),
        showControl: false,
        cacheKey: '',
        isLow: false,
        call: 5,
      },
    },
  )
  assert.equal(job.sampling, { kind: 'gumbel', temperature: 0, topK: 40, seed: new Uint8Array(32).fill(1) })
})

test('biases become two lists, and of two for one id the last holds', () => {
  const sampling = { ...LLAMA, logitBias: [[3, 5] as const, [7, 1.5] as const, [3, -100] as const] }
  const job = generateJob(1, { ...requestOf(PROMPT), sampling })
  assert.equal(job.sampling, {
    ...LLAMA,
    biasIds: Uint32Array.of(3, 7),
    biases: Float32Array.of(-100, 1.5),
  })
})

test('an audit waits for those who talk', () => {
  const { seed, sampling } = requestOf(PROMPT)
  const job = auditJob(2, { promptIds: PROMPT, outputIds: Uint32Array.of(4), sampling, seed, chunks: [600] })
  assert.ok(job.isLow)
  assert.equal([...job.chunks], [600])
})

test('positions of an audit are cut out of lists in a row', () => {
  const audited = {
    call: 1,
    margins: bytesOf(Float64Array.of(0, 0.25)),
    ranks: bytesOf(Int32Array.of(0, 64)),
    counts: bytesOf(Int32Array.of(2, 1)),
    ids: bytesOf(Int32Array.of(5, 6, 7)),
    logits: bytesOf(Float32Array.of(1, 0.5, 2)),
  }
  const expected = [
    { margin: 0, rank: 0, topIds: Int32Array.of(5, 6), topLogits: Float32Array.of(1, 0.5) },
    { margin: 0.25, rank: 64, topIds: Int32Array.of(7), topLogits: Float32Array.of(2) },
  ]
  assert.equal(positionsOf(auditColumns(audited)), expected)
  assert.equal(positionsOf(columnsOf(expected)), expected)
  assert.equal(positionsOf(columnsOf([])), [])
})

test('each failure of the engine is a coded error', () => {
  const codes = (['queue_full', 'grammar_invalid', 'grammar_stuck', 'decode_failed'] as const).map(
    (failure) => failureOf(failure).code,
  )
  assert.equal(codes, ['CF_WORKER_QUEUE_FULL', 'CF_JOB_INVALID', 'CF_JOB_INVALID', 'CF_WORKER_COMPUTE_FAILED'])
})

test.run()
