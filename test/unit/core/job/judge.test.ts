import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeEnvelope, openAs, seal, sealAs } from '../../../../core/identity/envelope.ts'
import type { Digest, PeerId } from '../../../../core/ids.ts'
import { type Bench, judgeAssignment, judgeFindings, judgeSettlement } from '../../../../core/job/judge.ts'
import { assignmentOf } from '../../../../core/job/machine.ts'
import { type SettlementProposal, stopCodec } from '../../../../core/job/proposal.ts'
import { type Assignment, answerCodec, answersDigest, assignmentCodec } from '../../../../core/log/assignment.ts'
import { createState } from '../../../../core/log/state.ts'
import { ROLE } from '../../../../core/roster/roster.ts'
import type { Validation } from '../../../../core/validation.ts'
import { revealCodec } from '../../../../core/verification/commitment.ts'
import { findingCodec } from '../../../../core/verification/finding.ts'
import { assigned, revealed, runTo, verified } from '../../../support/every-phase.ts'
import { EDGE, expectAccepted, FACTS, JobRun, OTHER_EDGE, OUTPUT, secretOf } from '../../../support/job-run.ts'
import { digestNamed, keyNamed, memberNamed } from '../../../support/people.ts'
import { settledRun } from '../../../support/settled-job.ts'

const NOTHING = new Uint8Array()
const range = (count: number): readonly number[] => Array.from({ length: count }, (_, place) => place)

function said(validation: Validation<unknown>): string {
  if (validation.action === 'accept') return 'accept'
  const where = validation.action === 'reject' && validation.where !== undefined ? ` ${validation.where}` : ''
  return `${validation.action} ${validation.reason}${where}`
}

const proposed = (): JobRun => runTo((run) => run.answerAll())

/** What a validator says of the honest proposal with some fields, or answers, changed. */
function assignmentSaid(
  parts: Partial<Assignment>,
  answers?: readonly Uint8Array[],
  bench: Partial<Bench> = {},
): string {
  const run = proposed()
  const { assignment, answers: honest } = run.assignmentProposal
  const used = answers ?? honest
  const bound = answers === undefined ? {} : { answersDigest: answersDigest(run.swarm.state.swarmId, used) }
  const changed = assignmentCodec.encode({ ...assignmentOf(assignment), ...bound, ...parts })
  return said(judgeAssignment({ ...run.bench(), ...bench }, { assignment: changed, answers: [...used] }))
}

test('an honest draw is voted for, and all validators sign the same statement', () => {
  const run = proposed()
  const statements = run.swarm.validators.map(({ peer }) =>
    expectAccepted(judgeAssignment(run.bench(peer), run.assignmentProposal)),
  )
  assert.is(new Set(statements.map(({ digest }) => digest)).size, 1)
  assert.is(statements[0]?.subject, run.id)
  assert.is(statements[0]?.kind, 'assignment')
})

test('a wrong worker is refused: another order, another peer, one too few, one twice', () => {
  const run = proposed()
  const [a, b, c] = run.workers
  const { ranked } = run.job.draw
  const lists: readonly (readonly (PeerId | undefined)[])[] = [
    [b, a, c],
    [a, b, ranked[3]],
    [a, b],
    [a, a, b],
    [a, b, keyNamed('v0').peer],
    [],
  ]
  for (const list of lists) {
    const workers = list.filter((peer) => peer !== undefined)
    assert.is(assignmentSaid({ workers }), 'reject proposal_mismatch workers')
  }
})

test('who leaves out a better-ranked acceptance may still not choose: the answers decide', () => {
  const run = proposed()
  const [first, ...rest] = run.job.draw.ranked
  assert.ok(first !== undefined)
  const answers = rest.slice(0, 3).map((peer) => run.answerOf(peer))
  assert.is(assignmentSaid({}, answers), 'reject proposal_mismatch workers')
  assert.is(assignmentSaid({ workers: rest.slice(0, 3) }, answers), 'accept', 'the unheard peer counts as silent')
})

test('a forged or foreign answer is refused', () => {
  const run = proposed()
  const { swarmId } = run.swarm.state
  const { answers } = run.assignmentProposal
  const [peer] = run.workers
  const opened = expectAccepted(openAs(answerCodec, answers[0] ?? NOTHING, swarmId))
  const forged = encodeEnvelope({ ...seal('answer', swarmId, opened.body, keyNamed('forger')), signer: opened.signer })
  assert.is(assignmentSaid({}, [forged, ...answers.slice(1)]), 'reject signature_invalid')
  const value = { jobId: run.id, attempt: 0, answer: 'accept', slotsFree: 1 } as const
  const stranger = sealAs(answerCodec, value, swarmId, keyNamed('stranger'))
  assert.is(assignmentSaid({}, [...answers, stranger]), 'reject proposal_mismatch answer')
  const otherJob = sealAs(answerCodec, { ...value, jobId: digestNamed('other') }, swarmId, secretOf(peer))
  assert.is(assignmentSaid({}, [otherJob, ...answers.slice(1)]), 'reject proposal_mismatch answer')
  const otherAttempt = sealAs(answerCodec, { ...value, attempt: 1 }, swarmId, secretOf(peer))
  assert.is(assignmentSaid({}, [otherAttempt, ...answers.slice(1)]), 'reject proposal_mismatch answer')
  assert.is(assignmentSaid({}, [Uint8Array.of(1), ...answers.slice(1)]), 'reject body_malformed envelope')
})

test('answers that are not the ones that the assignment binds are refused', () => {
  assert.is(assignmentSaid({ answersDigest: digestNamed('other') }), 'reject proposal_mismatch answers')
})

test('a wrong hold hash, epoch, beacon, roster or attempt is no draw of this log', () => {
  const parts: readonly Partial<Assignment>[] = [
    { holdHash: digestNamed('other') },
    { epoch: 1n },
    { beacon: digestNamed('other') },
    { rosterRoot: digestNamed('other') },
  ]
  for (const part of parts) assert.is(assignmentSaid(part), 'reject proposal_mismatch draw')
  assert.is(assignmentSaid({ attempt: 1 }), 'reject proposal_mismatch answer', 'the answers are of the first attempt')
  assert.is(assignmentSaid({ attempt: 3 }), 'ignore stale')
})

test('deadlines must be ahead, in order, and within the hold', () => {
  const run = proposed()
  const { commitByMs, revealByMs } = assignmentOf(run.assignment)
  const { deadlineMs } = run.job.hold
  for (const part of [
    { revealByMs: commitByMs },
    { revealByMs: deadlineMs + 1n },
    { commitByMs: BigInt(run.nowMs) - 1n },
    { commitByMs: revealByMs + 1n },
  ]) {
    assert.is(assignmentSaid(part), 'reject proposal_mismatch deadlines')
  }
  assert.is(assignmentSaid({ commitByMs: deadlineMs - 1n, revealByMs: deadlineMs }), 'accept')
})

test('an overlap of workers and validators must be said', () => {
  assert.is(assignmentSaid({ overlapping: true }), 'reject proposal_mismatch overlapping')
})

test('another size of the model than the catalogue has is refused, and so is an unknown model', () => {
  assert.is(
    assignmentSaid({}, undefined, { facts: () => ({ ...FACTS, megaParams: 7 }) }),
    'reject proposal_mismatch model',
  )
  assert.is(assignmentSaid({}, undefined, { facts: () => undefined }), 'reject proposal_mismatch model')
})

test('a job that the log does not know, or has assigned already, is ignored without blame', () => {
  const run = proposed()
  const proposal = run.assignmentProposal
  const empty = createState(run.swarm.genesis)
  assert.is(said(judgeAssignment({ ...run.bench(), state: empty }, proposal)), 'ignore unknown_parent')
  run.assign()
  assert.is(said(judgeAssignment(run.bench(), proposal)), 'ignore stale')
  assert.is(
    said(judgeAssignment(run.bench(), { assignment: Uint8Array.of(0xc0), answers: [] })),
    'reject bytes_type_not_allowed',
  )
})

test('findings follow from what was handed in: every validator finds the same, whoever judges', () => {
  const run = runTo(revealed)
  const all = expectAccepted(judgeFindings(run.bench(), run.findingProposal))
  assert.equal(
    all.map(({ worker }) => worker),
    run.workers,
  )
  for (const { peer } of run.swarm.validators)
    assert.equal(expectAccepted(judgeFindings(run.bench(peer), run.findingProposal)), all)
})

test('a validator signs nothing about its own replica, nor about one of its owner', () => {
  const roles = ROLE.worker | ROLE.validator
  const members = range(4).map((place) => memberNamed(`v${place}`, { roles, block: place }))
  const own = runTo(revealed, {
    genesis: { members: [...members, memberNamed('edge', { block: 9, roles: ROLE.edge })] },
  })
  const all = expectAccepted(judgeFindings(own.bench(), own.findingProposal))
  for (const [place, worker] of own.workers.entries()) {
    assert.equal(expectAccepted(judgeFindings(own.bench(worker), own.findingProposal)), all.toSpliced(place, 1))
  }
  const owner = digestNamed('owner of w0')
  const shared = [
    ...range(8).map((place) => memberNamed(`w${place}`, { block: place })),
    memberNamed('v0', { owner, roles: ROLE.validator, block: 99 }),
  ]
  const run = runTo(revealed, { genesis: { members: shared } })
  const about = (self: string) => expectAccepted(judgeFindings(run.bench(keyNamed(self).peer), run.findingProposal))
  assert.equal(
    about('v0'),
    about('v1').filter(({ worker }) => worker !== keyNamed('w0').peer),
  )
})

function verdicts(run: JobRun, change: Partial<JobRun['findingProposal']> = {}): readonly string[] {
  const judged = expectAccepted(judgeFindings(run.bench(), { ...run.findingProposal, ...change }))
  return judged.map(({ body }) => {
    const { verdict, reason } = expectAccepted(findingCodec.decode(body))
    return reason === 'none' ? verdict : `${verdict} ${reason}`
  })
}

test('an early end is legal only with the stop of the job’s edge, for this job and attempt: another edge’s aborts nothing', () => {
  const run = new JobRun()
  run.execute([OUTPUT.slice(0, 3), OUTPUT.slice(0, 2), OUTPUT])
  const stop = (value: Partial<{ jobId: Digest; attempt: number }> = {}, signer = EDGE) =>
    sealAs(stopCodec, { jobId: run.id, attempt: 0, ...value }, run.swarm.state.swarmId, signer)
  const early = (reason: string) => [reason, reason, 'inconclusive']
  assert.equal(verdicts(run, { stop: stop() }), early('inconclusive aborted'))
  for (const forged of [
    NOTHING,
    stop({ jobId: digestNamed('other') }),
    stop({ attempt: 1 }),
    stop({}, secretOf(run.workers[0])),
    stop({}, OTHER_EDGE),
  ])
    assert.equal(verdicts(run, { stop: forged }), early('fail stop_rule'))
})

test('what is missing, forged or swapped fails its own replica only', () => {
  const run = runTo(revealed)
  const { reveals } = run.findingProposal
  const first = (list: readonly Uint8Array[], bytes: Uint8Array) => [bytes, ...list.slice(1)]
  assert.equal(verdicts(run), ['pass', 'pass', 'pass'])
  assert.equal(verdicts(run, { reveals: first(reveals, NOTHING) }), ['fail no_reveal', 'pass', 'pass'])
  assert.equal(verdicts(run, { reveals: first(reveals, reveals[1] ?? NOTHING) }), [
    'fail commitment_mismatch',
    'pass',
    'pass',
  ])
  const reveal = expectAccepted(revealCodec.decode(reveals[0] ?? NOTHING))
  const retold = revealCodec.encode({ ...reveal, text: 'another text' })
  assert.equal(verdicts(run, { reveals: first(reveals, retold) }), ['fail commitment_mismatch', 'pass', 'pass'])
})

test('structure faults fail, an output of its own is inconclusive', () => {
  const run = new JobRun()
  run.execute([[11, 5_000, 0], [11, 0, 12], OUTPUT])
  assert.equal(verdicts(run), ['fail id_out_of_range', 'fail stop_rule', 'inconclusive'])
  const two = new JobRun()
  two.execute([[1, 0], OUTPUT, OUTPUT])
  assert.equal(verdicts(two), ['inconclusive', 'pass', 'pass'])
})

test('findings of another assignment, of too few replicas or of an unknown model get no vote', () => {
  const run = runTo(revealed)
  const proposal = run.findingProposal
  const other = assignmentCodec.encode({ ...assignmentOf(run.assignment), overlapping: true })
  assert.is(said(judgeFindings(run.bench(), { ...proposal, assignment: other })), 'ignore stale')
  assert.is(said(judgeFindings(run.bench(), { ...proposal, commitments: [] })), 'reject proposal_mismatch replicas')
  assert.is(
    said(judgeFindings(run.bench(), { ...proposal, reveals: proposal.reveals.slice(1) })),
    'reject proposal_mismatch replicas',
  )
  assert.is(said(judgeFindings({ ...run.bench(), facts: () => undefined }, proposal)), 'ignore not_for_us')
  const unknown = assignmentCodec.encode({ ...assignmentOf(run.assignment), jobId: digestNamed('no job') })
  assert.is(said(judgeFindings(run.bench(), { ...proposal, assignment: unknown })), 'ignore unknown_parent')
  assert.is(said(judgeFindings(run.bench(), { ...proposal, assignment: NOTHING })), 'reject bytes_truncated')
  run.find()
  run.settle()
  assert.is(said(judgeFindings(run.bench(), proposal)), 'ignore stale')
})

function settlementSaid(run: JobRun, parts: Partial<SettlementProposal> = {}): string {
  return said(judgeSettlement(run.bench(), { ...run.settlementProposal, ...parts }))
}

const REFUND = { outcome: 'refunded', chosen: 255, reason: 'output_rejected' } as const

test('a payment must name a sound replica, and its outcome must fit', () => {
  const run = runTo(verified)
  assert.is(settlementSaid(run), 'accept')
  assert.is(settlementSaid(run, { chosen: 1 }), 'accept', 'which one the client read only the edge knows')
  assert.is(settlementSaid(run, { chosen: 3 }), 'reject proposal_mismatch chosen_unsound')
  assert.is(settlementSaid(run, { outcome: 'refunded' }), 'reject proposal_mismatch chosen')
  assert.is(settlementSaid(run, { chosen: 255 }), 'reject proposal_mismatch chosen')
  assert.is(settlementSaid(run, { attempt: 1 }), 'reject proposal_mismatch attempt')
  assert.is(settlementSaid(run, { jobId: digestNamed('no job') }), 'ignore unknown_parent')
})

test('a payment before the findings are logged is refused', () => {
  const run = runTo(assigned)
  const proposal = { ...run.settlementProposal, outcome: 'paid', chosen: 0, reason: 'paid' } as const
  assert.is(said(judgeSettlement(run.bench(), proposal)), 'reject proposal_mismatch findings_missing')
  const held = new JobRun()
  assert.is(
    said(judgeSettlement(held.bench(), { ...proposal, jobId: held.id })),
    'reject proposal_mismatch chosen_unsound',
  )
})

test('an unfair refund is refused: sound work is paid for, whatever the edge says', () => {
  const run = runTo(verified)
  for (const reason of ['cancelled', 'deadline', 'no_workers', 'output_rejected', 'none']) {
    assert.is(settlementSaid(run, { ...REFUND, reason }), 'reject proposal_mismatch reason')
  }
  const lone = settledLike([[1, 0], OUTPUT, OUTPUT])
  assert.is(settlementSaid(lone, REFUND), 'reject proposal_mismatch reason', 'inconclusive is sound too')
})

test('a refund is fair when the output that was read fails, and when nothing was assigned', () => {
  const rejected = settledLike([[11, 0, 12], OUTPUT, OUTPUT])
  assert.is(settlementSaid(rejected), 'accept')
  assert.is(settlementSaid(rejected, { reason: 'cancelled' }), 'reject proposal_mismatch reason')
  const cancelled = runTo((run) => run.tell({ type: 'cancel' }))
  assert.is(settlementSaid(cancelled), 'accept')
})

test('in before mode one sound output forbids the refund', () => {
  const before = settledLike([[11, 0, 12], OUTPUT, [11, 5_000, 0]], 'before')
  assert.is(settlementSaid(before), 'accept')
  assert.is(settlementSaid(before, REFUND), 'reject proposal_mismatch reason')
  const none = settledLike(
    [
      [11, 0, 12],
      [11, 0, 12],
      [11, 5_000, 0],
    ],
    'before',
  )
  assert.is(settlementSaid(none), 'accept')
  assert.is(none.job.phase === 'verified' && none.job.chosen, null)
})

test('a reason that is none of the known ones is refused, also one too long for a settlement', () => {
  const cancelled = runTo((run) => run.tell({ type: 'cancel' }))
  for (const reason of ['', 'because', 'x'.repeat(65), 'x'.repeat(128)]) {
    assert.is(settlementSaid(cancelled, { reason }), 'reject proposal_mismatch reason')
  }
})

test('in before mode a wrong choice is refused, and so is a choice with other outputs', () => {
  const run = settledLike([[1, 0], OUTPUT, OUTPUT], 'before')
  assert.is(run.settlementProposal.chosen, 1, 'the first of those that agree')
  assert.is(settlementSaid(run), 'accept')
  assert.is(settlementSaid(run, { chosen: 0 }), 'reject proposal_mismatch chosen')
  assert.is(settlementSaid(run, { chosen: 2 }), 'reject proposal_mismatch chosen')
  assert.is(settlementSaid(run, { reveals: [] }), 'reject proposal_mismatch chosen')
  const [first, second, third] = run.settlementProposal.reveals
  assert.is(
    settlementSaid(run, { reveals: [first, third, NOTHING].map((bytes) => bytes ?? NOTHING) }),
    'reject proposal_mismatch chosen',
  )
  assert.is(
    settlementSaid(run, { reveals: [second, second, third].map((bytes) => bytes ?? NOTHING) }),
    'reject proposal_mismatch chosen',
  )
})

test('a settled job gets no second vote', () => {
  const { run } = settledRun('one')
  const again = { jobId: run.id, attempt: 0, reveals: [], cosines: [], ...REFUND }
  assert.is(said(judgeSettlement(run.bench(), again)), 'ignore stale')
})

test('the statement binds the whole settlement: other prices, another digest', () => {
  const digests = new Set<Digest>()
  for (const chosen of [0, 1]) {
    const run = runTo(verified)
    const { statement } = expectAccepted(judgeSettlement(run.bench(), { ...run.settlementProposal, chosen }))
    digests.add(statement.digest)
  }
  assert.is(digests.size, 2)
})

function settledLike(outputs: readonly (readonly number[])[], verify: 'after' | 'before' = 'after'): JobRun {
  const run = new JobRun({ intent: { verify } })
  run.execute(outputs, verify === 'after' ? 0 : null)
  run.find()
  return run
}

test.run()
