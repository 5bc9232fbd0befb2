/** Each reason for which the log refuses an entry, reached by the smallest entry that deserves it; a refusal leaves no trace. */

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sealAs } from '../../../../core/identity/envelope.ts'
import { type Digest, nodeAccount, type PeerId, platformAccount, userAccount } from '../../../../core/ids.ts'
import type { TransferRefusal } from '../../../../core/ledger/rules.ts'
import { type Applied, buildEntry, type RefusalReason, type Refused } from '../../../../core/log/apply.ts'
import { statementOf } from '../../../../core/log/authority.ts'
import { genesisEntryCodec } from '../../../../core/log/bodies.ts'
import {
  evidenceEntryCodec,
  snapshotEntryCodec,
  validatorSetEntryCodec,
} from '../../../../core/log/bodies-certified.ts'
import { type Entry, entryCodec, LOG_TIME_MS_MAX } from '../../../../core/log/entry.ts'
import { sealInvite, sealSpend } from '../../../../core/log/invites.ts'
import { scalarsRow } from '../../../../core/log/rows.ts'
import { encodeEvidence, evidenceOf } from '../../../../core/quorum/evidence.ts'
import { castVote } from '../../../../core/quorum/vote.ts'
import type { DisputeOutcome } from '../../../../core/verification/dispute.ts'
import { policyTableCodec } from '../../../../core/verification/policy-table.ts'
import { ALICE, applied, BOB, LogSwarm, MINT_KEY, START_MS, STARTER } from '../../../support/log-swarm.ts'
import { digestNamed, keyNamed } from '../../../support/people.ts'

/** Rules of linked groups that no entry can break, because the handlers build the groups; test/unit/core/ledger/rules reaches them. */
type InnerRefusal = Exclude<TransferRefusal, 'amount_out_of_range' | 'insufficient_credit' | 'balance_out_of_range'>
type EntryRefusal = Exclude<RefusalReason, InnerRefusal>
type Attempt = (swarm: LogSwarm) => Applied | Refused

const alice = userAccount(ALICE.peer)
const platform = platformAccount('home')
const garbage = Uint8Array.of(0xc1)

function altered(swarm: LogSwarm, parts: Partial<Entry>): Applied | Refused {
  const { entry } = buildEntry(swarm.state, 'mint', swarm.mint(alice, 1n, 'key'), swarm.nowMs)
  return swarm.applyBytes(entryCodec.encode({ ...entry, ...parts }))
}

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[copy.length - 1] = (copy[copy.length - 1] ?? 0) ^ 1
  return copy
}

function settledJob(swarm: LogSwarm) {
  const job = swarm.judged()
  applied(swarm.apply('settlement', swarm.settlement(job, 0)))
  return swarm.job(job.id)
}

/** A settled job, disputed by Alice and the ruling that followed, if any. */
function disputedJob(swarm: LogSwarm, ...outcomes: readonly (DisputeOutcome | null)[]) {
  const job = settledJob(swarm)
  for (const outcome of outcomes) {
    applied(swarm.apply('dispute', swarm.dispute(job, ALICE)))
    if (outcome !== null) applied(swarm.apply('correction', swarm.ruling(job, outcome)))
  }
  return swarm.job(job.id)
}

function evidenceBody(swarm: LogSwarm, digests: readonly [string, string]): Uint8Array {
  const [voter] = swarm.validators
  const votes = digests.map((name) => {
    const statement = statementOf(swarm.state, 'finding', {
      subject: digestNamed('job'),
      attempt: 0,
      index: 0,
      digest: digestNamed(name),
    })
    return castVote(swarm.state.swarmId, statement, voter ?? ALICE)
  })
  const [one, two] = votes
  const evidence = one && two ? evidenceOf(one, two) : undefined
  return evidenceEntryCodec.encode({ evidence: evidence === undefined ? garbage : encodeEvidence(evidence) })
}

function spendBody(
  swarm: LogSwarm,
  issuer = MINT_KEY,
  expiresMs = START_MS + 1n,
  forPeer: PeerId | null = null,
  grant = 0n,
): Uint8Array {
  const { swarmId } = swarm.state
  const invite = sealInvite(swarmId, { id: new Uint8Array(16), expiresMs, forPeer, grant }, issuer)
  return sealSpend(swarmId, invite, BOB, BOB)
}

function rosterBody(swarm: LogSwarm, epoch = 1n): Uint8Array {
  return swarm.roster(digestNamed('roster'), epoch)
}

function beaconBody(swarm: LogSwarm, epoch = 1n): Uint8Array {
  return swarm.beacon(digestNamed('beacon'), epoch)
}

const ATTEMPTS: Record<EntryRefusal, Attempt> = {
  entry_too_large: (swarm) => swarm.applyBytes(new Uint8Array(1_025)),
  entry_malformed: (swarm) => swarm.applyBytes(garbage),
  policy_repeated: (swarm) => {
    const table = { model: digestNamed('model'), engine: 'an engine', rows: [] }
    const body = sealAs(policyTableCodec, table, swarm.state.swarmId, MINT_KEY)
    applied(swarm.apply('policy', body))
    return swarm.apply('policy', body)
  },
  dispute_window_closed: (swarm) => {
    const job = settledJob(swarm)
    swarm.nowMs += 600_001n
    return swarm.apply('dispute', swarm.dispute(job, ALICE))
  },
  dispute_unfounded: (swarm) => swarm.apply('dispute', swarm.dispute(settledJob(swarm), ALICE, { claim: 'accept' })),
  dispute_open: (swarm) => swarm.apply('dispute', swarm.dispute(disputedJob(swarm, null), ALICE)),
  dispute_decided: (swarm) => swarm.apply('dispute', swarm.dispute(disputedJob(swarm, 'rejected'), ALICE)),
  dispute_count: (swarm) =>
    swarm.apply('dispute', swarm.dispute(disputedJob(swarm, 'inconclusive', 'inconclusive'), ALICE)),
  dispute_repeated: (swarm) =>
    swarm.apply('dispute', swarm.dispute(disputedJob(swarm, 'inconclusive'), ALICE, { number: 0 })),
  index_mismatch: (swarm) => altered(swarm, { index: 2n }),
  previous_mismatch: (swarm) => altered(swarm, { previous: digestNamed('another entry') }),
  time_not_monotone: (swarm) => altered(swarm, { timeMs: START_MS - 1n }),
  time_out_of_range: (swarm) => altered(swarm, { timeMs: LOG_TIME_MS_MAX + 1n }),
  genesis_expected: () => {
    const empty = new LogSwarm({}, false)
    return empty.apply('mint', empty.mint(alice, 1n, 'key'))
  },
  genesis_mismatch: () => {
    const empty = new LogSwarm({}, false)
    return empty.apply('genesis', genesisEntryCodec.encode({ swarmId: digestNamed('another swarm') }))
  },
  genesis_repeated: (swarm) => swarm.apply('genesis', genesisEntryCodec.encode({ swarmId: swarm.genesis.swarmId })),
  body_malformed: (swarm) => swarm.apply('mint', garbage),
  signature_invalid: (swarm) => swarm.apply('mint', flipped(swarm.mint(alice, 1n, 'key'))),
  authority_missing: (swarm) => swarm.apply('mint', swarm.mint(alice, 1n, 'key', ALICE)),
  intent_out_of_bounds: (swarm) => swarm.apply('hold', swarm.holdBody({ replicas: 6 })),
  region_mismatch: (swarm) => swarm.apply('hold', swarm.holdBody({ region: 'elsewhere' })),
  job_exists: (swarm) => {
    const id = swarm.hold().id
    const again = swarm.apply('hold', swarm.holdBody())
    assert.is(again.status === 'refused' && again.jobId, id)
    return again
  },
  nonce_used: (swarm) => {
    const id = swarm.hold().id
    const other = swarm.apply('hold', swarm.holdBody({ maxTokens: 1 }))
    assert.is(other.status === 'refused' && other.jobId, id)
    return other
  },
  intent_expired: (swarm) => swarm.apply('hold', swarm.holdBody({ expiresMs: START_MS })),
  intent_lifetime: (swarm) => swarm.apply('hold', swarm.holdBody({ expiresMs: START_MS + 3_600_001n })),
  budget_exceeded: (swarm) => swarm.apply('hold', swarm.holdBody({ maxBudget: 95_833n })),
  idempotency_conflict: (swarm) => {
    const { hash } = applied(swarm.apply('mint', swarm.mint(alice, 1n, 'key')))
    const other = swarm.apply('mint', swarm.mint(alice, 2n, 'key'))
    assert.is(other.status === 'refused' && other.entryHash, hash)
    return other
  },
  idempotency_repeat: (swarm) => {
    const { hash } = applied(swarm.apply('mint', swarm.mint(alice, 1n, 'key')))
    const again = swarm.apply('mint', swarm.mint(alice, 1n, 'key'))
    assert.is(again.status === 'refused' && again.entryHash, hash)
    return again
  },
  account_unknown: (swarm) => swarm.apply('mint', swarm.mint('platform/elsewhere', 1n, 'key')),
  job_unknown: (swarm) => {
    const elsewhere = new LogSwarm()
    return swarm.apply('settlement', swarm.expiry(elsewhere.hold({ nonce: 9n })))
  },
  job_phase: (swarm) => {
    const job = settledJob(swarm)
    return swarm.apply('settlement', swarm.settlement(job, 0))
  },
  attempt_mismatch: (swarm) => swarm.apply('assignment', swarm.assignment(swarm.hold(), { attempt: 3 })),
  assignment_mismatch: (swarm) =>
    swarm.apply('assignment', swarm.assignment(swarm.hold(), { workers: [keyNamed('w0').peer] })),
  assignment_late: (swarm) => {
    const job = swarm.hold()
    return swarm.apply('assignment', swarm.assignment(job, { revealByMs: job.deadlineMs + 1n }))
  },
  finding_mismatch: (swarm) => {
    const job = swarm.hold()
    applied(swarm.apply('assignment', swarm.assignment(job)))
    return swarm.apply('result', swarm.result(swarm.job(job.id), 0, { worker: keyNamed('w1').peer }))
  },
  finding_repeated: (swarm) => swarm.apply('result', swarm.result(swarm.judged(), 0, { verdict: 'fail' })),
  settlement_mismatch: (swarm) =>
    swarm.apply('settlement', swarm.settlement(swarm.judged(), 0, '', { reason: 'paid twice' })),
  findings_missing: (swarm) => {
    const job = swarm.hold()
    applied(swarm.apply('assignment', swarm.assignment(job)))
    applied(swarm.apply('result', swarm.result(swarm.job(job.id), 0)))
    const claim = { outcome: 'paid', reason: 'paid', chosen: 0 } as const
    return swarm.apply('settlement', swarm.settlement(swarm.job(job.id), null, '', claim))
  },
  chosen_unsound: (swarm) => {
    const claim = { outcome: 'paid', reason: 'paid', chosen: 1 } as const
    return swarm.apply('settlement', swarm.settlement(swarm.judged({}, [{}, { verdict: 'fail' }]), 0, '', claim))
  },
  deadline_not_reached: (swarm) => {
    const job = swarm.hold()
    swarm.nowMs = job.deadlineMs - 1n
    return swarm.apply('settlement', swarm.expiry(job))
  },
  correction_mismatch: (swarm) => {
    const job = settledJob(swarm)
    const leg = {
      from: { kind: 'mint', key: new Uint8Array() },
      to: { kind: 'user', key: BOB.publicKey },
      amount: 1n,
    } as const
    return swarm.apply('correction', swarm.correction(job, [leg]))
  },
  epoch_mismatch: (swarm) => swarm.apply('roster', rosterBody(swarm, 2n)),
  roster_missing: (swarm) => swarm.apply('beacon', beaconBody(swarm)),
  validator_set_unsound: (swarm) => {
    const change = {
      epoch: 1n,
      removed: 0b1111,
      added: [],
      attempt: 0,
      ...swarm.numbered('validator-set', 1n, digestNamed('set')),
    }
    return swarm.apply('validator-set', validatorSetEntryCodec.encode(change))
  },
  snapshot_mismatch: (swarm) => {
    const digest = digestNamed('state')
    const ahead = { index: 1n, digest, attempt: 0, ...swarm.numbered('snapshot', 1n, digest) }
    return swarm.apply('snapshot', snapshotEntryCodec.encode(ahead))
  },
  evidence_invalid: (swarm) => swarm.apply('evidence', evidenceEntryCodec.encode({ evidence: garbage })),
  evidence_repeated: (swarm) => {
    applied(swarm.apply('evidence', evidenceBody(swarm, ['one', 'two'])))
    return swarm.apply('evidence', evidenceBody(swarm, ['one', 'three']))
  },
  invite_expired: (swarm) => swarm.apply('invite', spendBody(swarm, MINT_KEY, START_MS)),
  invite_spent: (swarm) => {
    applied(swarm.apply('invite', spendBody(swarm)))
    return swarm.apply('invite', spendBody(swarm))
  },
  certificate_invalid: (swarm) => swarm.apply('assignment', flipped(swarm.assignment(swarm.hold()))),
  amount_out_of_range: (swarm) => swarm.apply('mint', swarm.mint(alice, 0n, 'key')),
  insufficient_credit: (swarm) => swarm.apply('hold', swarm.holdBody({}, BOB)),
  balance_out_of_range: (swarm) => {
    swarm.state.accounts.set('mint', { balance: -(2n ** 62n), held: 0n, vesting: [] })
    return swarm.apply('mint', swarm.mint(alice, 1n, 'key'))
  },
}

for (const [reason, attempt] of Object.entries(ATTEMPTS)) {
  test(`the log refuses: ${reason}`, () => {
    const swarm = new LogSwarm()
    const result = attempt(swarm)
    assert.is(result.status === 'refused' ? result.reason : 'applied', reason)
  })
}

/** Everything that a refused entry could have touched. */
function traceOf({ state }: LogSwarm): readonly unknown[] {
  const { accounts, jobs, nonces, idempotency, invites, evidence } = state
  const tables = [accounts, jobs, nonces, idempotency, invites, evidence].map((table) => [...table.changes()])
  return [scalarsRow.encode(state), ...tables]
}

test('a refused entry leaves the state as it was, byte for byte', () => {
  const swarm = new LogSwarm()
  const job = swarm.judged()
  const before = traceOf(swarm)
  const refused = [
    swarm.apply('hold', swarm.holdBody({ nonce: 2n, maxBudget: 1n })),
    swarm.apply('hold', swarm.holdBody({ nonce: 3n }, BOB)),
    swarm.apply('mint', swarm.mint(alice, 0n, 'fresh key')),
    swarm.apply('transfer', swarm.direct({ kind: 'spend', from: alice, to: platform, amount: STARTER }, ALICE)),
    swarm.apply('settlement', swarm.expiry(job)),
    swarm.apply('settlement', flipped(swarm.settlement(job, 0))),
    swarm.apply('validator-set', garbage),
  ]
  assert.equal(
    refused.map(({ status }) => status),
    refused.map(() => 'refused'),
  )
  assert.equal(traceOf(swarm), before)
})

test('a certificate of too few, of another swarm or of another subject does not count', () => {
  const swarm = new LogSwarm()
  const job = swarm.hold()
  const other = new LogSwarm({ name: 'other' })
  const digest: Digest = digestNamed('anything')
  const statement = statementOf(swarm.state, 'assignment', { subject: job.id, attempt: 0, index: 0, digest })
  const good = swarm.assignment(job)
  const entries = [swarm.certificate(statement), other.certificate(statementOf(other.state, 'assignment', statement))]
  for (const certificate of entries) {
    const result = swarm.apply('assignment', swarm.assignment(job, certificate))
    assert.is(result.status === 'refused' && result.reason, 'certificate_invalid')
  }
  applied(swarm.apply('assignment', good))
})

test("a spend to a node and a mint key that moves a user's credit lack authority", () => {
  const swarm = new LogSwarm()
  const node = nodeAccount(keyNamed('w0').peer)
  const attempts = [
    swarm.direct({ kind: 'spend', from: alice, to: node, amount: 1n }, ALICE),
    swarm.direct({ kind: 'spend', from: alice, to: platform, amount: 1n }, BOB),
    swarm.direct({ kind: 'transfer', from: alice, to: node, amount: 1n }, MINT_KEY),
    swarm.direct({ kind: 'transfer', from: 'mint', to: node, amount: 1n }, MINT_KEY),
    swarm.direct({ kind: 'reward', from: alice, to: node, amount: 1n }, MINT_KEY),
    swarm.direct({ kind: 'reward', from: platform, to: alice, amount: 1n }, MINT_KEY),
    swarm.direct({ kind: 'reward', from: platform, to: node, amount: 1n }, ALICE),
  ]
  for (const body of attempts) {
    const result = swarm.apply('transfer', body)
    assert.is(result.status === 'refused' && result.reason, 'authority_missing')
  }
})

test('an invite bound to another peer or made by anyone is refused', () => {
  const swarm = new LogSwarm()
  for (const body of [spendBody(swarm, MINT_KEY, START_MS + 1n, ALICE.peer), spendBody(swarm, ALICE)]) {
    const result = swarm.apply('invite', body)
    assert.is(result.status === 'refused' && result.reason, 'authority_missing')
  }
})

test.run()
