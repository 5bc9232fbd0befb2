/** Embedding jobs from hold to receipt: what honest machines that differ in their last bits get, and what each liar gets. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { idsToBytes } from '../../../../core/codec/bytes.ts'
import { sealAs } from '../../../../core/identity/envelope.ts'
import { nodeAccount } from '../../../../core/ids.ts'
import { findingsBodies } from '../../../../core/job/choice.ts'
import { judgeAssignment, judgeFindings, judgeSettlement } from '../../../../core/job/judge.ts'
import { stopCodec } from '../../../../core/job/proposal.ts'
import { outputOf, receiptOf } from '../../../../core/job/receipting.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { bodyDigest } from '../../../../core/log/assignment.ts'
import { statementOf } from '../../../../core/log/authority.ts'
import { resultEntryCodec } from '../../../../core/log/bodies-certified.ts'
import { NO_SAMPLING } from '../../../../core/log/intent.ts'
import { receiptFileCodec } from '../../../../core/receipt/receipt.ts'
import { type ReceiptVerdict, verifyReceiptFile } from '../../../../core/receipt/verify.ts'
import { revealCodec, tokensRoot } from '../../../../core/verification/commitment.ts'
import { type Finding, findingCodec, METHOD } from '../../../../core/verification/finding.ts'
import { COSINE_V1, EXACT_V1 } from '../../../../core/verification/policy.ts'
import { wordsOf } from '../../../../core/verification/vectors.ts'
import { hashVector } from '../../../support/fake-backend.ts'
import { EDGE, expectAccepted, FACTS, JobRun, VECTOR_FACTS } from '../../../support/job-run.ts'
import { applied } from '../../../support/log-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { keyNamed } from '../../../support/people.ts'

const TEXTS = ['one', 'two', 'three']
const SIZE = TEXTS.length * VECTOR_FACTS.dimensions
const VECTORS = TEXTS.map(hashVector)
const HONEST = [...wordsOf(VECTORS)]
/** The same computation on another machine. */
const ROUNDED = HONEST.map((word, at) => (at % 3 === 0 ? word + 1 : word))
const unit = (vector: Float32Array): Float32Array => vector.map((value) => value / Math.hypot(...vector))
const mapped = (change: (value: number) => number): readonly number[] => [...wordsOf(VECTORS.map((v) => v.map(change)))]

/** What a worker may hand in instead of the vectors, and what it gets for that. */
const LIES: Record<string, readonly [words: readonly number[], verdict: string]> = {
  negated: [mapped((value) => -value), 'inconclusive none'],
  'of other texts': [[...wordsOf(['a', 'b', 'c'].map(hashVector))], 'inconclusive none'],
  'one of another text': [[...HONEST.slice(0, 32), ...wordsOf([hashVector('x')])], 'inconclusive none'],
  'in another order': [[...HONEST.slice(16), ...HONEST.slice(0, 16)], 'inconclusive none'],
  reversed: [HONEST.toReversed(), 'inconclusive none'],
  scaled: [mapped((value) => value * 1.01), 'fail vector_not_unit'],
  shrunk: [mapped((value) => value * 0.99), 'fail vector_not_unit'],
  zero: [HONEST.map(() => 0), 'fail vector_not_unit'],
  denormal: [HONEST.map(() => 1), 'fail vector_not_unit'],
  'not a number': [HONEST.with(7, 0x7fc0_0000), 'fail vector_not_finite'],
  'without an end': [HONEST.with(7, 0xff80_0000), 'fail vector_not_finite'],
  'a word short': [HONEST.slice(1), 'fail vector_shape'],
  'a vector too many': [[...HONEST, ...HONEST.slice(0, 16)], 'fail vector_shape'],
  nothing: [[], 'fail empty'],
}

function embeddingRun(replicas: number, genesis: ConstructorParameters<typeof JobRun>[0] = {}): JobRun {
  const size = { promptTokens: TEXTS.length, maxTokens: TEXTS.length, replicas }
  return new JobRun({
    ...genesis,
    intent: { task: 'embedding', sampling: NO_SAMPLING, verify: 'before', ...size },
  })
}

function found(outputs: readonly (readonly number[] | undefined)[]): JobRun {
  const run = embeddingRun(outputs.length)
  run.execute(outputs, null)
  run.find()
  return run
}

function verdicts({ job }: JobRun): readonly string[] {
  return findingsBodies('findings' in job ? job.findings : []).map(({ verdict, reason }) => `${verdict} ${reason}`)
}

function chosenIn({ job }: JobRun): number | null {
  return job.phase === 'verified' ? job.chosen : null
}

function receiptFile(run: JobRun, change: Partial<{ output: Uint8Array; receipt: Uint8Array }> = {}): Uint8Array {
  const { job } = run
  if (job.phase !== 'settled') return missing('a settled job')
  const { genesis, swarmId } = run.swarm.state
  const parts = { receipt: receiptOf(job, genesis.bytes), output: outputOf(job), ...change }
  return sealAs(receiptFileCodec, parts, swarmId, EDGE)
}

function verify(run: JobRun, file = receiptFile(run)): ReceiptVerdict {
  return verifyReceiptFile(file, { roots: new Set([run.swarm.state.swarmId]) })
}

test('one replica passes on structure, is paid for a token a text, and its receipt verifies offline with its vectors', () => {
  const run = found([HONEST])
  run.settle()
  const verdict = verify(run)
  assert.is(verdict.status, 'valid')
  if (verdict.status !== 'valid') return
  const { findings, output, settlement } = verdict.facts
  assert.equal(
    findings.map((finding) => [finding.verdict, finding.methods, finding.tokenCount, finding.policyId]),
    [['pass', METHOD.structure, SIZE, COSINE_V1.id]],
  )
  assert.equal(output?.ids, idsToBytes(HONEST))
  assert.is(settlement.assurance, 'unaudited')
  assert.is(settlement.refund, 0n, 'the hold is the price of all texts, and that is what is paid')
})

test('machines that differ in their last bits agree: all pass, all earn the bonus, and two owners make it replicated', () => {
  const run = found([HONEST, ROUNDED, HONEST])
  assert.equal(verdicts(run), ['pass none', 'pass none', 'pass none'])
  run.settle()
  const verdict = verify(run)
  assert.ok(verdict.status === 'valid')
  if (verdict.status !== 'valid') return
  const { findings, settlement } = verdict.facts
  const methods = METHOD.structure | METHOD.semantic
  assert.equal(
    findings.map((finding) => [finding.methods, finding.agree]),
    [
      [methods, 3],
      [methods, 3],
      [methods, 3],
    ],
  )
  assert.is(settlement.assurance, 'replicated')
  for (const worker of run.workers) {
    const kinds = settlement.legs.filter(({ node }) => node === worker).map(({ kind }) => kind)
    assert.equal(kinds, ['base', 'bonus'])
  }
})

for (const [name, [words, expected]] of Object.entries(LIES)) {
  test(`a worker whose vectors are ${name} gets "${expected}", and an honest output is chosen`, () => {
    const run = found([words, HONEST, ROUNDED])
    assert.equal(verdicts(run), [expected, 'pass none', 'pass none'])
    assert.is(chosenIn(run), 1)
    run.settle()
    assert.is(verify(run).status, 'valid')
    const liar = run.workers[0] ?? missing()
    const honest = run.workers[1] ?? missing()
    const [lied, earned] = [liar, honest].map((peer) => run.swarm.balance(nodeAccount(peer)))
    assert.ok((lied ?? 0n) < (earned ?? 0n), 'who lies earns less')
    assert.is(lied === 0n, expected.startsWith('fail'), 'and nothing for what is no vector')
  })
}

test('of those that agree the one in the middle is chosen, whoever comes first', () => {
  const tilted = (by: number) => [
    ...wordsOf(VECTORS.map((vector) => unit(vector.map((value, at) => (at === 0 ? value + by : value))))),
  ]
  const run = found([tilted(0.02), tilted(-0.02), tilted(0)])
  assert.equal(verdicts(run), ['pass none', 'pass none', 'pass none'])
  assert.is(chosenIn(run), 2)
})

test('a quorum that lies cannot put into a receipt what is no vector, nor judge vectors as tokens', () => {
  const scaled = LIES['scaled']?.[0] ?? missing()
  const sound = { verdict: 'pass', methods: METHOD.structure, reason: 'none', agree: 1, tokenCount: SIZE } as const
  const said = (words: readonly number[], parts: Partial<Finding>) => {
    const run = embeddingRun(1)
    run.execute([words], null)
    const [honest = missing()] = findingsBodies(run.certifiedFindings())
    const body = findingCodec.encode({ ...honest, ...sound, tokensRoot: tokensRoot(words), ...parts })
    const { state } = run.swarm
    const digest = bodyDigest('finding', state.swarmId, body)
    const certificate = run.swarm.certificate(
      statementOf(state, 'finding', { subject: run.id, attempt: 0, index: 0, digest }),
    )
    run.tell({ type: 'found', findings: [{ body, certificate }] })
    applied(run.swarm.apply('result', resultEntryCodec.encode({ finding: body, ...certificate })))
    run.tell({ type: 'results-logged' })
    run.settle()
    const verdict = verify(run)
    return verdict.status === 'invalid' ? verdict.where : verdict.status
  }
  assert.is(said(HONEST, {}), 'valid')
  assert.is(said(scaled, {}), 'output')
  assert.is(said(HONEST.slice(1), { tokenCount: SIZE - 1 }), 'output')
  assert.is(said(HONEST, { policyId: EXACT_V1.id }), 'verification[0].finding')
})

test('two of four are no majority: nobody passes, nobody is punished, and one of the two is chosen', () => {
  const other = LIES['of other texts']?.[0] ?? missing()
  const negated = LIES['negated']?.[0] ?? missing()
  const run = found([other, ROUNDED, HONEST, negated])
  assert.equal(verdicts(run), ['inconclusive none', 'inconclusive none', 'inconclusive none', 'inconclusive none'])
  assert.ok([1, 2].includes(chosenIn(run) ?? -1))
})

test('when nobody agrees with anybody there is still an answer, and it is not called replicated', () => {
  const run = found([LIES['of other texts']?.[0] ?? missing(), HONEST, LIES['reversed']?.[0] ?? missing()])
  assert.equal(verdicts(run), ['inconclusive none', 'inconclusive none', 'inconclusive none'])
  run.settle()
  const verdict = verify(run)
  assert.is(verdict.status === 'valid' && verdict.facts.settlement.assurance, 'unaudited')
})

test('a replica that is lost weighs against a majority, and two that agree still are one of three', () => {
  assert.equal(verdicts(found([HONEST, undefined, ROUNDED])), ['pass none', 'fail no_commitment', 'pass none'])
  assert.equal(verdicts(found([HONEST, undefined])), ['inconclusive none', 'fail no_commitment'])
})

test('every validator finds the same bytes, and none votes for an output that is not the one in the middle', () => {
  const run = embeddingRun(3)
  run.execute([ROUNDED, HONEST, ROUNDED], null)
  const judged = ['v0', 'v1', 'v2'].map((name) => judgeFindings(run.bench(keyNamed(name).peer), run.findingProposal))
  for (const own of judged) assert.equal(expectAccepted(own), expectAccepted(judged[0] ?? missing()))
  run.find()
  const proposal = run.settlementProposal
  assert.is(judgeSettlement(run.bench(), proposal).action, 'accept')
  for (const chosen of [0, 1, 2].filter((replica) => replica !== chosenIn(run)))
    assert.is(judgeSettlement(run.bench(), { ...proposal, chosen }).action, 'reject')
  const reveals = [...proposal.reveals.slice(1), ...proposal.reveals.slice(0, 1)]
  assert.is(judgeSettlement(run.bench(), { ...proposal, reveals }).action, 'reject', 'other outputs than were judged')
})

test('an embedding job that the edge stopped is paid for its work and has no vectors', () => {
  const run = embeddingRun(1)
  run.answerAll()
  run.assign()
  const { swarmId } = run.swarm.state
  run.tell({ type: 'stopped', stop: sealAs(stopCodec, { jobId: run.id, attempt: 0 }, swarmId, EDGE) })
  run.commit(0, [])
  run.reveal(0)
  run.find()
  assert.equal(verdicts(run), ['inconclusive aborted'])
  run.settle()
  const verdict = verify(run)
  assert.ok(verdict.status === 'valid')
  assert.is(verdict.status === 'valid' && verdict.facts.output?.ids.length, 0)
})

test('a receipt whose vectors were exchanged, cut or left out is not valid', () => {
  const run = found([HONEST, ROUNDED, HONEST])
  run.settle()
  const { job } = run
  if (job.phase !== 'settled') return missing()
  const reveal = expectAccepted(revealCodec.decode(outputOf(job)))
  for (const ids of [idsToBytes(HONEST.toReversed()), reveal.ids.subarray(4), new Uint8Array()]) {
    const verdict = verify(run, receiptFile(run, { output: revealCodec.encode({ ...reveal, ids }) }))
    assert.is(verdict.status === 'invalid' && verdict.where, 'output')
  }
})

test('a chat model embeds nothing and an embedding model says nothing: such a job gets no workers', () => {
  for (const run of [embeddingRun(1), new JobRun({ intent: { replicas: 1 } })]) {
    run.answerAll()
    const other = run.first.intent.task === 'embedding' ? FACTS : VECTOR_FACTS
    const bench = { ...run.bench(), facts: () => other }
    assert.is(judgeAssignment(run.bench(), run.assignmentProposal).action, 'accept')
    assert.is(judgeAssignment(bench, run.assignmentProposal).action, 'reject')
  }
  const run = embeddingRun(1)
  run.answerAll()
  const facts = () => ({ ...VECTOR_FACTS, dimensions: LIMITS.outputIdsBytesMax / 4 })
  assert.is(judgeAssignment({ ...run.bench(), facts }, run.assignmentProposal).action, 'reject', 'too long to reveal')
})

test.run()
