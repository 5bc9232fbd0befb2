import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeAccount, platformAccount, userAccount } from '../../../../core/ids.ts'
import { DEFAULT_PRICES } from '../../../../core/ledger/pricing.ts'
import { type Applied, auditBooks, type Refused } from '../../../../core/log/apply.ts'
import { bondOf } from '../../../../core/log/disputing.ts'
import { jobRow } from '../../../../core/log/rows.ts'
import type { LoggedJob } from '../../../../core/log/state.ts'
import type { Finding } from '../../../../core/verification/finding.ts'
import { ALICE, applied, BOB, LogSwarm, MINT_KEY } from '../../../support/log-swarm.ts'
import { keyNamed } from '../../../support/people.ts'

const PLATFORM = platformAccount('home')
const [EDGE, WORKER, OTHER] = [keyNamed('edge'), keyNamed('w0'), keyNamed('w1')]
const CREDIT = 1_000_000n

function reasonOf(result: Applied | Refused): string {
  return result.status === 'refused' ? result.reason : 'applied'
}

/** A job of Alice whose replica 0 was found so; paid for replica 1's output. */
function settled(swarm: LogSwarm, finding: Partial<Finding> = {}): LoggedJob {
  const job = swarm.judged({}, [finding])
  applied(swarm.apply('settlement', swarm.settlement(job, 1)))
  return swarm.job(job.id)
}

const FAILED = { verdict: 'fail', reason: 'audit_failed' } as const

test('a dispute takes its bond from the opener, and nobody spends it meanwhile', () => {
  const swarm = new LogSwarm()
  const job = settled(swarm)
  const before = swarm.balance(userAccount(ALICE.peer))
  const opened = applied(swarm.apply('dispute', swarm.dispute(job, ALICE)))
  const bond = bondOf(job)
  assert.is(bond, CREDIT)
  assert.equal(
    opened.transfers.map(({ kind, debit, credit, amount }) => [kind, debit, credit, amount]),
    [['bond', userAccount(ALICE.peer), PLATFORM, bond]],
  )
  assert.is(swarm.balance(userAccount(ALICE.peer)), before - bond)
  const grab = { kind: 'transfer', from: PLATFORM, to: userAccount(BOB.peer), amount: 1n } as const
  assert.is(reasonOf(swarm.apply('transfer', swarm.direct(grab, MINT_KEY))), 'insufficient_credit')
  const [dispute] = swarm.job(job.id).disputes
  assert.is(dispute?.hash, opened.hash)
  assert.is(dispute?.payer, 'user')
  assert.is(dispute?.outcome, null)
  assert.is(auditBooks(swarm.state).total, 0n)
})

test('the bond of a dear job is twice its price', () => {
  assert.is(bondOf({ holdAmount: 3n * CREDIT }), 6n * CREDIT)
  assert.is(bondOf({ holdAmount: 2n ** 53n }), 2n ** 53n)
})

test('the user, the edge and the workers of a job may dispute it, and nobody else', () => {
  const swarm = new LogSwarm()
  for (const key of [EDGE, OTHER, BOB])
    applied(swarm.apply('mint', swarm.mint(userAccount(key.peer), CREDIT, key.peer)))
  const job = settled(swarm)
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, BOB))), 'authority_missing')
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, EDGE, { replica: 0 }))), 'applied')
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, OTHER, { replica: 2 }))), 'applied')
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, ALICE, { replica: 1 }))), 'applied')
})

test('a worker pays the bond out of what it has earned, when that has vested', () => {
  const swarm = new LogSwarm({ prices: { ...DEFAULT_PRICES, vestMs: 1_000n } })
  const job = settled(swarm, FAILED)
  const account = nodeAccount(WORKER.peer)
  applied(swarm.apply('mint', swarm.mint(account, CREDIT, 'earned before')))
  const opened = applied(swarm.apply('dispute', swarm.dispute(job, WORKER, { claim: 'accept' })))
  assert.is(opened.transfers[0]?.debit, account)
  assert.is(swarm.job(job.id).disputes[0]?.payer, 'node')

  // What it earned with this very job has not: a bond comes back at once.
  const dear = new LogSwarm({ prices: { ...DEFAULT_PRICES, jobMicro: CREDIT, vestMs: 1_000n } })
  const earned = dear.judged({}, [])
  applied(dear.apply('settlement', dear.settlement(earned, 0)))
  applied(dear.apply('mint', dear.mint(nodeAccount(OTHER.peer), bondOf(earned) - 1n, 'nearly')))
  assert.is(reasonOf(dear.apply('dispute', dear.dispute(earned, OTHER))), 'insufficient_credit')
  dear.nowMs = earned.holdMs + 1_000n
  assert.is(reasonOf(dear.apply('dispute', dear.dispute(earned, OTHER))), 'applied')
})

const CLAIMS: readonly (readonly [string, Partial<Finding>, 'reject' | 'accept', typeof ALICE, string])[] = [
  ['that a sound output is not', {}, 'reject', ALICE, 'applied'],
  ['that one nobody shares is not sound', { verdict: 'inconclusive', agree: 1 }, 'reject', ALICE, 'applied'],
  ['that an audited fault deserves more', FAILED, 'reject', ALICE, 'applied'],
  [
    'that an output without form deserves more',
    { verdict: 'fail', reason: 'empty' },
    'reject',
    ALICE,
    'dispute_unfounded',
  ],
  ['by its worker, that an audit was wrong', FAILED, 'accept', WORKER, 'applied'],
  [
    'by its worker, that a doubt was wrong',
    { verdict: 'suspect', reason: 'audit_suspect' },
    'accept',
    WORKER,
    'applied',
  ],
  ['by another worker, that an audit was wrong', FAILED, 'accept', OTHER, 'dispute_unfounded'],
  [
    'by its worker, that it did answer',
    { verdict: 'fail', reason: 'no_reveal' },
    'accept',
    WORKER,
    'dispute_unfounded',
  ],
  ['by its worker, that a sound output is sound', {}, 'accept', WORKER, 'dispute_unfounded'],
]
for (const [says, finding, claim, opener, expected] of CLAIMS) {
  test(`a claim ${says}: ${expected}`, () => {
    const swarm = new LogSwarm()
    for (const key of [WORKER, OTHER]) applied(swarm.apply('mint', swarm.mint(nodeAccount(key.peer), CREDIT, key.peer)))
    const job = settled(swarm, finding)
    assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, opener, { claim }))), expected)
  })
}

test('nobody opens a dispute twice with one envelope, nor more than two of a job', () => {
  const swarm = new LogSwarm()
  const job = settled(swarm)
  const envelope = swarm.dispute(job, ALICE)
  applied(swarm.apply('dispute', envelope))
  assert.is(reasonOf(swarm.apply('dispute', envelope)), 'dispute_open')
  applied(swarm.apply('correction', swarm.ruling(job, 'inconclusive')))
  assert.is(reasonOf(swarm.apply('dispute', envelope)), 'dispute_repeated')
  applied(swarm.apply('dispute', swarm.dispute(job, ALICE, { replica: 1 })))
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, ALICE, { replica: 2 }))), 'dispute_count')
})

test('a ruling stands: the other side may speak once, and what was borne out is over', () => {
  const swarm = new LogSwarm()
  applied(swarm.apply('mint', swarm.mint(nodeAccount(WORKER.peer), 4n * CREDIT, 'bonds')))
  const job = settled(swarm, FAILED)
  applied(swarm.apply('dispute', swarm.dispute(job, ALICE)))
  applied(swarm.apply('correction', swarm.ruling(job, 'rejected')))
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, ALICE))), 'dispute_decided')
  applied(swarm.apply('dispute', swarm.dispute(job, WORKER, { claim: 'accept' })))
  applied(swarm.apply('correction', swarm.ruling(job, 'upheld')))
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, WORKER, { claim: 'reject' }))), 'dispute_decided')
})

test('a job that is not settled has nothing to dispute, and each attempt has its own', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged()
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, ALICE))), 'job_phase')
  applied(swarm.apply('settlement', swarm.settlement(job, 0)))
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, ALICE, { attempt: 1 }))), 'attempt_mismatch')
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, ALICE, { replica: 3 }))), 'dispute_unfounded')
  swarm.nowMs += 600_000n
  assert.is(reasonOf(swarm.apply('dispute', swarm.dispute(job, ALICE))), 'applied')
})

test('the row of a job keeps its disputes', () => {
  const swarm = new LogSwarm()
  const job = settled(swarm)
  applied(swarm.apply('dispute', swarm.dispute(job, ALICE)))
  applied(swarm.apply('correction', swarm.ruling(job, 'inconclusive')))
  applied(swarm.apply('dispute', swarm.dispute(job, ALICE, { replica: 2 })))
  const now = swarm.job(job.id)
  assert.is(now.disputes.length, 2)
  assert.equal(jobRow.decode(jobRow.encode(now)), now)
})

test.run()
