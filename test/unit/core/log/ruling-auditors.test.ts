/** What becomes of auditors when referees have ruled on what they reported. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeAccount } from '../../../../core/ids.ts'
import { DEFAULT_PRICES, permilleOf } from '../../../../core/ledger/pricing.ts'
import type { Applied } from '../../../../core/log/apply.ts'
import { ALICE, applied, LogSwarm } from '../../../support/log-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { keyNamed } from '../../../support/people.ts'
import {
  AUDITED,
  AUDITORS,
  BASE,
  CREDIT,
  FAILED,
  legsOf,
  NODE,
  REFEREES,
  ruled,
  settled,
  standing,
  USER,
} from '../../../support/rulings.ts'

const [WORKER, OTHER] = [keyNamed('w0'), keyNamed('w1')]
const PAY = permilleOf(BASE, DEFAULT_PRICES.reportPermille)

for (const [what, finding, claim, opener] of [
  ['passed a cheat', {}, 'reject', ALICE],
  ['failed an honest worker', FAILED, 'accept', WORKER],
] as const) {
  test(`auditors that ${what} give back what they were paid, as far as they have it, and are marked`, () => {
    const { swarm, job } = settled({ finding: { ...finding, ...AUDITED }, savings: CREDIT })
    const [one, two] = AUDITORS.map(nodeAccount)
    assert.equal(
      [one, two].map((account) => swarm.balance(account ?? NODE)),
      [PAY, PAY],
    )
    const spent = { kind: 'transfer', from: two ?? NODE, to: nodeAccount(OTHER.peer), amount: PAY - 1n } as const
    applied(swarm.apply('transfer', swarm.direct(spent, keyNamed('a1'))))
    const end = ruled({ swarm, job }, opener, claim, 'upheld', REFEREES)
    assert.equal(
      legsOf(end).filter(([reason]) => reason === 'audit not earned'),
      [
        ['audit not earned', one, USER, PAY],
        ['audit not earned', two, USER, 1n],
      ],
    )
  })
}

test('auditors of equal outputs give back once what they were paid once, and are marked once', () => {
  const swarm = new LogSwarm()
  const auditor = swarm.validators[0]?.peer ?? missing('a validator')
  const judged = swarm.judged({}, [
    { ...AUDITED, auditors: [auditor] },
    { ...AUDITED, auditors: [] },
  ])
  applied(swarm.apply('settlement', swarm.settlement(judged, 0)))
  applied(swarm.apply('mint', swarm.mint(nodeAccount(auditor), CREDIT, 'savings')))
  const before = swarm.balance(nodeAccount(auditor))
  for (const replica of [0, 1]) {
    applied(swarm.apply('dispute', swarm.dispute(swarm.job(judged.id), ALICE, { claim: 'reject', replica })))
    applied(swarm.apply('correction', swarm.ruling(swarm.job(judged.id), 'upheld', REFEREES)))
  }
  assert.is(before - swarm.balance(nodeAccount(auditor)), PAY)
  assert.is(standing(swarm, auditor).outvoted, 1_024)
})

test('auditors keep their pay where referees bear them out or decide nothing, and where nothing was paid', () => {
  const unearned = (end: Applied) => legsOf(end).some(([reason]) => reason === 'audit not earned')
  const failed = settled({ finding: { ...FAILED, ...AUDITED } })
  assert.not(unearned(ruled(failed, ALICE, 'reject', 'upheld', REFEREES)))
  assert.not(unearned(ruled(settled({ finding: AUDITED }), ALICE, 'reject', 'rejected', REFEREES)))
  assert.not(unearned(ruled(settled({ finding: AUDITED }), ALICE, 'reject', 'inconclusive', [])))
  const swarm = new LogSwarm()
  const expired = swarm.judged({}, [AUDITED])
  swarm.nowMs = expired.deadlineMs
  applied(swarm.apply('settlement', swarm.expiry(expired)))
  applied(swarm.apply('mint', swarm.mint(nodeAccount(AUDITORS[0] ?? OTHER.peer), CREDIT, 'savings')))
  assert.not(unearned(ruled({ swarm, job: swarm.job(expired.id) }, ALICE, 'reject', 'upheld', REFEREES)))
})

test.run()
