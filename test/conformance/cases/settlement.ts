import type { RefusalReason } from '../../../core/log/apply.ts'
import { buildEntry } from '../../../core/log/apply.ts'
import type { SettlementEntry } from '../../../core/log/bodies-certified.ts'
import type { LoggedJob } from '../../../core/log/state.ts'
import type { Finding } from '../../../core/verification/finding.ts'
import { applied, LogSwarm } from '../../support/log-swarm.ts'
import { digestNamed, keyNamed } from '../../support/people.ts'
import { acceptedEntry, refusedEntry } from '../log-case.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const AUDITORS = [keyNamed('a0').peer, keyNamed('a1').peer, keyNamed('a2').peer] as const
const AUDITED: Partial<Finding> = { methods: 7, auditors: AUDITORS.slice(0, 2), auditsHash: digestNamed('audits') }

export function settlementVectors(): VectorFile {
  return {
    name: 'settlement',
    describe: 'Apply the entries in order to the genesis, then the entry in question: the settlement of a job.',
    cases: [...paidCases(), ...refundedCases(), ...claimCases(), ...expiryCases(), ...phaseCases()],
  }
}

function settle(swarm: LogSwarm, body: Uint8Array): Uint8Array {
  return buildEntry(swarm.state, 'settlement', body, swarm.nowMs).bytes
}

function paidCases(): VectorCase[] {
  const mixes: readonly (readonly [string, readonly Partial<Finding>[]])[] = [
    ['three that agree', []],
    ['one that differs', [{}, {}, { verdict: 'inconclusive', tokensRoot: digestNamed('other output') }]],
    ['one that failed', [{}, { verdict: 'fail', reason: 'no_reveal', tokenCount: 0, agree: 0 }]],
    [
      'three that differ',
      [0, 1, 2].map((place) => ({ verdict: 'inconclusive', tokensRoot: digestNamed(`output ${place}`) })),
    ],
    ['two auditors of one output, one of another', [AUDITED, { ...AUDITED, auditors: [AUDITORS[2]], tokenCount: 40 }]],
    ['a token count above what was asked', [{ tokenCount: 100_000 }]],
  ]
  return mixes.map(([name, findings]) => {
    const swarm = new LogSwarm()
    const job = swarm.judged({}, findings)
    return acceptedEntry(name, swarm, settle(swarm, swarm.settlement(job, 0)))
  })
}

function refundedCases(): VectorCase[] {
  const [rejected, unassigned, expired] = [new LogSwarm(), new LogSwarm(), new LogSwarm()]
  const job = rejected.judged({}, [{ verdict: 'fail' }, { verdict: 'fail' }, { verdict: 'fail' }])
  const failed = new LogSwarm()
  const found = failed.judged({}, [{ ...AUDITED, verdict: 'fail', reason: 'audit_failed' }])
  const held = unassigned.hold()
  const late = expired.hold()
  expired.nowMs = late.deadlineMs
  return [
    acceptedEntry('no sound output', rejected, settle(rejected, rejected.settlement(job, null))),
    acceptedEntry('an output that auditors failed', failed, settle(failed, failed.settlement(found, null))),
    acceptedEntry('no workers', unassigned, settle(unassigned, unassigned.settlement(held, null, 'no_workers'))),
    acceptedEntry('the deadline has come', expired, settle(expired, expired.expiry(late))),
  ]
}

function claimCases(): VectorCase[] {
  const swarm = new LogSwarm()
  const job = swarm.judged({}, [{}, { tokenCount: 200 }, { verdict: 'fail' }])
  const claims: readonly (readonly [string, RefusalReason, Partial<SettlementEntry>])[] = [
    ['another replica than was certified', 'certificate_invalid', { chosen: 1 }],
    ['a failed replica', 'chosen_unsound', { chosen: 2 }],
    ['a replica that is not there', 'chosen_unsound', { chosen: 3 }],
    ['another attempt', 'attempt_mismatch', { attempt: 1 }],
    ['another reason', 'settlement_mismatch', { reason: 'because' }],
    ['a refund with the certificate of a payment', 'certificate_invalid', { outcome: 'refunded', chosen: 255 }],
    ['no signatures', 'certificate_invalid', { bitmap: 0, signatures: new Uint8Array() }],
    ['a certificate that claims a fourth voter', 'certificate_invalid', { bitmap: 0b1111 }],
    ['a job that is not there', 'job_unknown', { jobId: digestNamed('no job') }],
  ]
  return claims.map(([name, reason, parts]) =>
    refusedEntry(name, reason, swarm, settle(swarm, swarm.settlement(job, 0, '', parts))),
  )
}

function expiryCases(): VectorCase[] {
  const early = new LogSwarm()
  const job = early.hold()
  early.nowMs = job.deadlineMs - 1n
  const late = new LogSwarm()
  const due: LoggedJob = late.hold()
  late.nowMs = due.deadlineMs
  const with64 = { bitmap: 1, signatures: new Uint8Array(64) }
  return [
    refusedEntry('a millisecond before the deadline', 'deadline_not_reached', early, settle(early, early.expiry(job))),
    refusedEntry(
      'an expiry that pays',
      'settlement_mismatch',
      late,
      settle(late, late.expiry(due, { outcome: 'paid' })),
    ),
    refusedEntry('an expiry with a signature', 'settlement_mismatch', late, settle(late, late.expiry(due, with64))),
  ]
}

function phaseCases(): VectorCase[] {
  const twice = new LogSwarm()
  const job = twice.judged()
  const body = twice.settlement(job, 0)
  applied(twice.apply('settlement', body))
  const partial = new LogSwarm()
  const held = partial.hold()
  applied(partial.apply('assignment', partial.assignment(held)))
  applied(partial.apply('result', partial.result(partial.job(held.id), 0)))
  const early = { outcome: 'paid', reason: 'paid', chosen: 0 } as const
  const paid = partial.settlement(partial.job(held.id), null, '', early)
  return [
    refusedEntry('a second settlement', 'job_phase', twice, settle(twice, body)),
    refusedEntry('a payment before every finding is in', 'findings_missing', partial, settle(partial, paid)),
  ]
}
