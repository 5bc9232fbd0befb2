import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatAmount } from '../../../../core/ledger/amount.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { verifyReceiptFile } from '../../../../core/receipt/verify.ts'
import { ROLE } from '../../../../core/roster/roster.ts'
import { EDGE, OUTPUT } from '../../../support/job-run.ts'
import { ALICE } from '../../../support/log-swarm.ts'
import { memberNamed } from '../../../support/people.ts'
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
