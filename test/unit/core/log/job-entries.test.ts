import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeAccount, platformAccount, userAccount } from '../../../../core/ids.ts'
import { DEFAULT_PRICES, quote } from '../../../../core/ledger/pricing.ts'
import { type Applied, auditBooks, type Refused } from '../../../../core/log/apply.ts'
import { abstainersOf, statementOf } from '../../../../core/log/authority.ts'
import { resultEntryCodec } from '../../../../core/log/bodies-certified.ts'
import { findingCodec } from '../../../../core/verification/finding.ts'
import {
  ALICE,
  applied,
  BOB,
  genesisBody,
  intentOfAlice,
  LogSwarm,
  MINT_KEY,
  STARTER,
} from '../../../support/log-swarm.ts'
import { digestNamed, keyNamed, memberNamed, validatorKeys } from '../../../support/people.ts'

const alice = userAccount(ALICE.peer)
const HOLD = quote(DEFAULT_PRICES, intentOfAlice()).hold

function reasonOf(result: Applied | Refused): string {
  return result.status === 'refused' ? result.reason : 'applied'
}

test('a hold reserves the whole quote and moves nothing yet', () => {
  const swarm = new LogSwarm()
  const job = swarm.hold()
  assert.is(job.holdAmount, HOLD)
  assert.is(job.holdHash, swarm.state.head.hash)
  assert.is(job.deadlineMs, swarm.nowMs + 600_000n)
  assert.is(swarm.held(ALICE.peer), HOLD)
  assert.is(swarm.balance(alice), STARTER)
})

test('held credit cannot be spent', () => {
  const swarm = new LogSwarm({ starters: [{ user: ALICE.peer, amount: HOLD }] })
  swarm.hold()
  const spend = swarm.direct({ kind: 'spend', from: alice, to: platformAccount('home'), amount: 1n }, ALICE)
  assert.is(reasonOf(swarm.apply('transfer', spend)), 'insufficient_credit')
  assert.is(reasonOf(swarm.apply('hold', swarm.holdBody({ nonce: 2n }))), 'insufficient_credit')
})

test('a whole job pays workers and validators and gives the rest back', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged()
  const paid = applied(swarm.apply('settlement', swarm.settlement(job, 0)))
  const { settlement, phase, holdLeft } = swarm.job(job.id)
  assert.is(phase, 'settled')
  assert.is(holdLeft, 0n)
  assert.is((settlement?.cost ?? 0n) + (settlement?.refund ?? 0n), HOLD)
  assert.is(swarm.held(ALICE.peer), 0n)
  assert.is(swarm.balance(alice), STARTER - (settlement?.cost ?? 0n))
  assert.equal(
    paid.transfers.map(({ kind }) => kind),
    [...'base bonus base bonus base bonus fee fee fee fee refund'.split(' ')],
  )
  assert.is(auditBooks(swarm.state).total, 0n)
  assert.ok(paid.transfers.every((transfer) => transfer.jobId === job.id && transfer.reason === 'paid'))
})

test('a job settles once, by whatever authority comes second', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged()
  const again = swarm.settlement(job, 0)
  applied(swarm.apply('settlement', again))
  const books = auditBooks(swarm.state)
  assert.is(reasonOf(swarm.apply('settlement', again)), 'job_phase')
  swarm.nowMs = job.deadlineMs
  assert.is(reasonOf(swarm.apply('settlement', swarm.expiry(job))), 'job_phase')
  assert.equal(auditBooks(swarm.state), books)
})

test('one nonce is one job, and the same intent sent twice is charged once', () => {
  const swarm = new LogSwarm()
  swarm.hold()
  assert.is(reasonOf(swarm.apply('hold', swarm.holdBody())), 'job_exists')
  assert.is(reasonOf(swarm.apply('hold', swarm.holdBody({ replicas: 1 }))), 'nonce_used')
  assert.is(swarm.held(ALICE.peer), HOLD)
  swarm.nowMs += 120_000n
  assert.is(reasonOf(swarm.apply('hold', swarm.holdBody())), 'job_exists')
})

test('two users may use the same nonce', () => {
  const swarm = new LogSwarm({ starters: [ALICE, BOB].map(({ peer }) => ({ user: peer, amount: STARTER })) })
  swarm.hold()
  swarm.hold({}, BOB)
})

test('a refund by expiry waits for the deadline of log time, then anyone may log it', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged()
  swarm.nowMs = job.deadlineMs - 1n
  assert.is(reasonOf(swarm.apply('settlement', swarm.expiry(job))), 'deadline_not_reached')
  swarm.nowMs = job.deadlineMs
  applied(swarm.apply('settlement', swarm.expiry(job)))
  assert.is(swarm.balance(alice), STARTER)
  assert.is(swarm.held(ALICE.peer), 0n)
  assert.is(swarm.job(job.id).settlement?.authority, 'expiry')
})

test('after the deadline a certificate still pays', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged()
  swarm.nowMs = job.deadlineMs + 1n
  applied(swarm.apply('settlement', swarm.settlement(job, 0)))
  assert.is(swarm.job(job.id).settlement?.outcome, 'paid')
})

test('an expiry can neither pay nor choose nor carry signatures nor a reason of its own', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged()
  swarm.nowMs = job.deadlineMs
  const claims = [
    { outcome: 'paid' },
    { chosen: 0 },
    { reason: 'x' },
    { bitmap: 1 },
    { signatures: new Uint8Array(64) },
    { attempt: 1 },
  ] as const
  for (const claim of claims)
    assert.is(reasonOf(swarm.apply('settlement', swarm.expiry(job, claim))), 'settlement_mismatch')
})

test('a settlement whose legs differ from what was certified is refused', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged({}, [{}, { tokenCount: 200 }])
  const chosen = { outcome: 'paid', reason: 'paid', chosen: 1 } as const
  assert.is(reasonOf(swarm.apply('settlement', swarm.settlement(job, 0, '', chosen))), 'certificate_invalid')
  const refund = { outcome: 'refunded', reason: 'output_rejected', chosen: 255 } as const
  assert.is(reasonOf(swarm.apply('settlement', swarm.settlement(job, 0, '', refund))), 'certificate_invalid')
  const bare = { authority: 'expiry', bitmap: 0, signatures: new Uint8Array() } as const
  assert.is(reasonOf(swarm.apply('settlement', swarm.settlement(job, 0, '', bare))), 'deadline_not_reached')
})

test('a certified refund needs no assignment', () => {
  const swarm = new LogSwarm()
  const job = swarm.hold()
  applied(swarm.apply('settlement', swarm.settlement(job, null, 'no_workers')))
  assert.is(swarm.balance(alice), STARTER)
  assert.is(swarm.job(job.id).settlement?.reason, 'no_workers')
})

test('a finding signed by the owner of its replica is refused', () => {
  const owner = digestNamed('one owner')
  const members = [...['v0', 'w0'].map((name) => memberNamed(name, { owner })), memberNamed('w1'), memberNamed('w2')]
  const swarm = new LogSwarm({ members })
  const held = swarm.hold()
  applied(swarm.apply('assignment', swarm.assignment(held)))
  const job = swarm.job(held.id)
  assert.equal(abstainersOf(swarm.state, keyNamed('w0').peer), [keyNamed('v0').peer])
  const finding = findingCodec.encode(swarm.finding(job, 0))
  const digest = findingCodec.digest(swarm.state.swarmId, finding)
  const statement = statementOf(swarm.state, 'finding', { subject: job.id, attempt: 0, index: 0, digest })
  const withOwner = resultEntryCodec.encode({ finding, ...swarm.certificate(statement) })
  assert.is(reasonOf(swarm.apply('result', withOwner)), 'certificate_invalid')
  applied(swarm.apply('result', swarm.result(job, 0)))
})

test('a worker that is a validator abstains on its own replica, and in a local swarm nobody else does', () => {
  const owner = digestNamed('the only owner')
  const members = ['v0', 'v1', 'v2', 'v3'].map((name) => memberNamed(name, { owner }))
  const v0 = keyNamed('v0').peer
  assert.equal(abstainersOf(new LogSwarm({ members, local: true }).state, v0), [v0])
  assert.is(abstainersOf(new LogSwarm({ members }).state, v0).length, 4)
  assert.equal(abstainersOf(new LogSwarm({ members: [] }).state, v0), [v0])
})

test('a later attempt takes the place of an earlier one, and what was found about that one counts no more', () => {
  const swarm = new LogSwarm()
  const held = swarm.hold()
  applied(swarm.apply('assignment', swarm.assignment(held)))
  const first = swarm.job(held.id)
  const oldResult = swarm.result(first, 0)
  const oldRefund = swarm.settlement(first, null)
  const workers = ['w2', 'w3', 'w4'].map((name) => keyNamed(name).peer)
  assert.is(reasonOf(swarm.apply('assignment', swarm.assignment(first, { workers }))), 'attempt_mismatch')
  applied(swarm.apply('assignment', swarm.assignment(first, { attempt: 1, workers })))
  const job = swarm.job(first.id)
  assert.equal(job.workers, workers)
  assert.is(reasonOf(swarm.apply('settlement', oldRefund)), 'attempt_mismatch')
  assert.is(reasonOf(swarm.apply('result', oldResult)), 'attempt_mismatch')
  assert.is(reasonOf(swarm.apply('assignment', swarm.assignment(first, { workers }))), 'attempt_mismatch')
})

test('no later attempt takes the place of one that something has been found about', () => {
  const swarm = new LogSwarm()
  const held = swarm.hold()
  applied(swarm.apply('assignment', swarm.assignment(held)))
  applied(swarm.apply('result', swarm.result(swarm.job(held.id), 0)))
  const job = swarm.job(held.id)
  assert.is(reasonOf(swarm.apply('assignment', swarm.assignment(job, { attempt: 1 }))), 'job_phase')
  for (const replica of [1, 2]) applied(swarm.apply('result', swarm.result(job, replica)))
  applied(swarm.apply('settlement', swarm.settlement(swarm.job(job.id), 0)))
})

test('an assignment with a worker twice is refused', () => {
  const swarm = new LogSwarm()
  const [w0, w1] = [keyNamed('w0').peer, keyNamed('w1').peer]
  assert.is(
    reasonOf(swarm.apply('assignment', swarm.assignment(swarm.hold(), { workers: [w0, w1, w0] }))),
    'assignment_mismatch',
  )
})

test('no money moves and no job is judged before its assignment', () => {
  const swarm = new LogSwarm()
  const job = swarm.hold()
  const claim = { outcome: 'paid', reason: 'paid', chosen: 0 } as const
  assert.is(reasonOf(swarm.apply('settlement', swarm.settlement(job, null, '', claim))), 'job_phase')
  const other = new LogSwarm().judged()
  assert.is(reasonOf(swarm.apply('result', swarm.result(other, 0))), 'job_phase')
})

test('earned credit cannot be spent before its time', () => {
  const swarm = new LogSwarm({ prices: { ...DEFAULT_PRICES, vestMs: 50_000n } })
  const job = swarm.judged()
  applied(swarm.apply('settlement', swarm.settlement(job, 0)))
  const [worker, from] = [keyNamed('w0'), nodeAccount(keyNamed('w0').peer)]
  const pay = swarm.direct({ kind: 'transfer', from, to: alice, amount: swarm.balance(from) }, worker)
  swarm.nowMs = job.holdMs + 49_999n
  assert.is(reasonOf(swarm.apply('transfer', pay)), 'insufficient_credit')
  swarm.nowMs += 1n
  applied(swarm.apply('transfer', pay))
  assert.is(swarm.balance(from), 0n)
})

test('a correction takes back unvested pay, is numbered, and conserves credit', () => {
  const swarm = new LogSwarm({ prices: { ...DEFAULT_PRICES, vestMs: 50_000n } })
  const job = swarm.judged()
  applied(swarm.apply('settlement', swarm.settlement(job, 0)))
  const amount = swarm.balance(nodeAccount(keyNamed('w0').peer))
  const legs = [
    { from: { kind: 'node', key: keyNamed('w0').publicKey }, to: { kind: 'user', key: ALICE.publicKey }, amount },
  ] as const
  const first = swarm.correction(swarm.job(job.id), legs)
  applied(swarm.apply('correction', first))
  assert.is(swarm.balance(nodeAccount(keyNamed('w0').peer)), 0n)
  assert.is(swarm.job(job.id).correctionCount, 1)
  assert.is(reasonOf(swarm.apply('correction', first)), 'correction_mismatch')
  assert.is(reasonOf(swarm.apply('correction', swarm.correction(swarm.job(job.id), legs))), 'insufficient_credit')
  assert.is(reasonOf(swarm.apply('correction', swarm.correction(swarm.job(job.id), []))), 'correction_mismatch')
  assert.is(auditBooks(swarm.state).total, 0n)
})

test('a correction waits for the settlement', () => {
  const swarm = new LogSwarm()
  const leg = {
    from: { kind: 'user', key: ALICE.publicKey },
    to: { kind: 'platform', key: new Uint8Array() },
    amount: 1n,
  } as const
  assert.is(reasonOf(swarm.apply('correction', swarm.correction(swarm.judged(), [leg]))), 'job_phase')
})

test('five replicas, thirteen validators and every text at its longest fit a log entry', () => {
  const validators = validatorKeys(13)
  const swarm = new LogSwarm({ validators: validators.map(({ peer }) => peer), members: genesisBody().members })
  swarm.validators = validators
  const job = swarm.judged(
    { replicas: 5 },
    Array.from({ length: 5 }, () => ({ reason: 'r'.repeat(64) })),
  )
  applied(swarm.apply('settlement', swarm.settlement(job, null, 'r'.repeat(64))))
  const party = { kind: 'node', key: ALICE.publicKey } as const
  const leg = { from: party, to: { kind: 'user', key: ALICE.publicKey }, amount: 1n } as const
  const body = swarm.correction(swarm.job(job.id), [leg, leg])
  assert.is(reasonOf(swarm.apply('correction', body)), 'insufficient_credit')
  assert.ok(swarm.entries.every((bytes) => bytes.length <= 1_024))
  const longest = {
    kind: 'spend',
    from: alice,
    to: alice,
    amount: 1n,
    reason: 'r'.repeat(128),
    idempotencyKey: 'k'.repeat(128),
    jobId: new Uint8Array(32),
  } as const
  assert.is(reasonOf(swarm.apply('transfer', swarm.direct(longest, MINT_KEY))), 'account_unknown')
})

test.run()
