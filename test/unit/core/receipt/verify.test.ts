import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatAmount } from '../../../../core/ledger/amount.ts'
import { settlementCodec } from '../../../../core/ledger/settlement.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { genesisRoster } from '../../../../core/log/genesis.ts'
import { type Receipt, receiptCodec } from '../../../../core/receipt/receipt.ts'
import { verifyReceiptFile } from '../../../../core/receipt/verify.ts'
import { ROLE, type RosterSnapshot } from '../../../../core/roster/roster.ts'
import { EDGE, expectAccepted, JOINED, OUTPUT } from '../../../support/job-run.ts'
import { ALICE } from '../../../support/log-swarm.ts'
import { digestNamed, keyNamed, memberNamed } from '../../../support/people.ts'
import { resealed } from '../../../support/receipt-lies.ts'
import { ENDS, type End, type SettledRun, settledRun } from '../../../support/settled-job.ts'

const verify = ({ file, root }: SettledRun) => verifyReceiptFile(file, { roots: new Set([root]) })

test('the receipt of every end verifies offline, against its root', () => {
  for (const end of ENDS) {
    const verdict = verify(settledRun(end))
    assert.is(
      verdict.status,
      'valid',
      `${end}: ${verdict.status === 'invalid' ? `${verdict.where} ${verdict.reason}` : ''}`,
    )
  }
})

test('the facts of a paid receipt are those of its job', () => {
  const settled = settledRun('three')
  const verdict = verify(settled)
  assert.ok(verdict.status === 'valid')
  if (verdict.status !== 'valid') return
  const { facts } = verdict
  const { run, root } = settled
  assert.is(facts.swarmId, root)
  assert.is(facts.jobId, run.id)
  assert.is(facts.user, ALICE.peer)
  assert.is(facts.edge, EDGE.peer)
  assert.is(facts.quorum, 3)
  assert.equal(facts.assignment?.workers, run.first.draw.ranked.slice(0, 3))
  assert.is(facts.assignment?.ranked.length, 6)
  assert.equal(
    facts.findings.map(({ verdict: found }) => found),
    ['pass', 'pass', 'pass'],
  )
  assert.is(facts.settlement.assurance, 'replicated')
  assert.is(facts.output?.text, 'a text')
  assert.is(facts.output?.ids.length, 4 * OUTPUT.length)
  assert.is(facts.delivery?.ttftMs, 120)
  assert.is(facts.settlement.cost + facts.settlement.refund, run.first.hold.amount)
  console.log(`cost ${formatAmount(facts.settlement.cost)} of ${formatAmount(run.first.hold.amount)}`)
})

test('each end says what it is: outcome, reason, authority, assurance', () => {
  const expected: Record<End, readonly string[]> = {
    one: ['paid', 'paid', 'certificate', 'unaudited'],
    three: ['paid', 'paid', 'certificate', 'replicated'],
    before: ['paid', 'paid', 'certificate', 'replicated'],
    lone: ['paid', 'paid', 'certificate', 'unaudited'],
    vectors: ['paid', 'paid', 'certificate', 'replicated'],
    no_workers: ['refunded', 'no_workers', 'certificate', 'unaudited'],
    rejected: ['refunded', 'output_rejected', 'certificate', 'unaudited'],
    lost: ['refunded', 'all_replicas_lost', 'certificate', 'unaudited'],
    expired: ['refunded', 'deadline', 'expiry', 'unaudited'],
    expired_held: ['refunded', 'deadline', 'expiry', 'unaudited'],
  }
  for (const end of ENDS) {
    const verdict = verify(settledRun(end))
    assert.ok(verdict.status === 'valid')
    if (verdict.status !== 'valid') return
    const { settlement, authority, output } = verdict.facts
    assert.equal([settlement.outcome, settlement.reason, authority, settlement.assurance], expected[end], end)
    assert.is(output !== undefined, settlement.outcome === 'paid')
  }
})

test('a local swarm says so, and an overlap of workers and validators is in the facts', () => {
  const names = ['v0', 'v1', 'v2', 'v3']
  const members = [
    ...names.map((name) => memberNamed(name, { roles: ROLE.worker | ROLE.validator })),
    memberNamed('edge', { roles: ROLE.edge }),
  ]
  const verdict = verify(settledRun('three', { genesis: { local: true, members } }))
  assert.ok(verdict.status === 'valid')
  if (verdict.status !== 'valid') return
  assert.is(verdict.facts.settlement.assurance, 'local')
  assert.is(verdict.facts.assignment?.overlapping, true)
})

test('an unknown root is no verdict about the swarm, but everything else has been checked', () => {
  for (const end of ['three', 'no_workers', 'expired'] as const) {
    const { file, root } = settledRun(end)
    const verdict = verifyReceiptFile(file, { roots: new Set(['00'.repeat(32)]) })
    assert.is(verdict.status, 'unknown_root')
    assert.is(verdict.status === 'unknown_root' && verdict.swarm, root)
    const changed = file.with(file.length - 1, (file.at(-1) ?? 0) ^ 1)
    assert.is(verifyReceiptFile(changed, { roots: new Set() }).status, 'invalid')
  }
})

test('a receipt of a later epoch verifies without the log, by its certified roster and beacon', () => {
  for (const end of ENDS) {
    const settled = settledRun(end, { joined: JOINED })
    const verdict = verify(settled)
    const said = verdict.status === 'invalid' ? `${verdict.where} ${verdict.reason}` : ''
    assert.is(verdict.status, 'valid', `${end}: ${said}`)
    if (verdict.status !== 'valid') return
    const { assignment } = verdict.facts
    assert.ok(assignment === undefined || (assignment.epoch === 1n && !assignment.drawn))
  }
})

test('with the roster at hand the draw of a later epoch is repeated, and another roster is of no use', () => {
  const { file, root, run } = settledRun('three', { joined: JOINED })
  const verdictWith = (roster: RosterSnapshot) => {
    const trust = { roots: new Set([root]), rosters: new Map([[roster.root, roster]]) }
    const verdict = verifyReceiptFile(file, trust)
    return verdict.status === 'valid' ? verdict.facts.assignment : undefined
  }
  const assignment = verdictWith(run.roster)
  assert.is(assignment?.drawn, true)
  assert.equal(assignment?.workers, run.first.draw.ranked.slice(0, 3))
  assert.is(verdictWith(genesisRoster(run.swarm.genesis))?.drawn, false)
  assert.ok(
    run.workers.some((worker) => JOINED.some((name) => keyNamed(name).peer === worker)),
    'a newcomer works',
  )
})

test('an epoch part with another member, owner, place or root is invalid', () => {
  const settled = settledRun('three', { joined: JOINED })
  const said = (change: (epoch: Receipt['epoch']) => Partial<Receipt['epoch']>): string => {
    const file = resealed(settled, (receipt) => ({ ...receipt, epoch: { ...receipt.epoch, ...change(receipt.epoch) } }))
    const verdict = verifyReceiptFile(file, { roots: new Set([settled.root]) })
    return verdict.status === 'invalid' ? verdict.where : verdict.status
  }
  assert.is(
    said(() => ({})),
    'valid',
  )
  const [first] = expectAccepted(receiptCodec.decode(settled.parts.receipt)).epoch.members
  assert.ok(first !== undefined)
  assert.is(
    said(({ members }) => ({ members: members.with(0, { ...first, owner: digestNamed('somebody') }) })),
    'epoch.members[0]',
  )
  assert.is(
    said(({ members }) => ({ members: members.with(0, { ...first, roles: 7 }) })),
    'epoch.members[0]',
  )
  assert.is(
    said(({ members }) => ({ members: members.with(0, { ...first, index: first.index + 1 }) })),
    'epoch.members[0]',
  )
  assert.is(
    said(({ members }) => ({ members: members.toReversed() })),
    'epoch.members[1]',
  )
  assert.is(
    said(({ memberCount }) => ({ memberCount: memberCount + 1 })),
    'epoch.members[0]',
  )
  assert.is(
    said(() => ({ members: [] })),
    'assignment.workers',
  )
  assert.is(
    said(() => ({ number: 0n })),
    'epoch',
  )
  assert.is(
    said(() => ({ number: 2n })),
    'epoch.roster',
  )
  assert.is(
    said(() => ({ beacon: new Uint8Array() })),
    'epoch.beacon',
  )
})

test('a settlement of as many legs as there may be fits the receipt of a job with five replicas and thirteen validators', () => {
  const settled = settledRun('three', { validatorCount: 7 })
  const vests = { amount: LIMITS.amountMicroMax, vestsAtMs: 2n ** 45n }
  const legs = Array.from(
    { length: 43 },
    (_, place) => ({ kind: 'audit', node: keyNamed(`n${place}`).peer, ...vests }) as const,
  )
  const signatures = new Uint8Array(13 * 64)
  const five = <T>([first]: readonly T[]): T[] => (first === undefined ? [] : Array.from({ length: 5 }, () => first))
  const file = resealed(settled, (receipt) => {
    const { settlement, verification, assignment, execution } = receipt
    const body = settlementCodec.encode({ ...expectAccepted(settlementCodec.decode(settlement.body)), legs })
    return {
      ...receipt,
      genesis: new Uint8Array(LIMITS.genesisBytesMax),
      settlement: { ...settlement, body, signatures },
      verification: five(verification).map((part) => ({ ...part, finding: new Uint8Array(512), signatures })),
      assignment: { ...assignment, answers: five(assignment.answers), signatures },
      execution: { commitments: five(execution.commitments), delivery: new Uint8Array(2_048) },
    }
  })
  assert.is(verifyReceiptFile(file, { roots: new Set([settled.root]) }).status, 'invalid')
  console.log(`the largest receipt: ${file.length} bytes`)
})

test('a receipt of three replicas and four validators is below 8 KiB', () => {
  for (const end of ENDS) {
    const { parts, file } = settledRun(end)
    console.log(`${end}: receipt ${parts.receipt.length} bytes, file ${file.length} bytes`)
    assert.ok(parts.receipt.length < LIMITS.receiptBytesMax)
  }
  const seven = settledRun('three', { validatorCount: 7 })
  console.log(`three with 7 validators: receipt ${seven.parts.receipt.length} bytes`)
  assert.is(verify(seven).status, 'valid')
})

test.run()
