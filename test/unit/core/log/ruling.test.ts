import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KeyPair } from '../../../../core/identity/keys.ts'
import { type AccountId, nodeAccount, platformAccount, userAccount } from '../../../../core/ids.ts'
import { DEFAULT_PRICES, permilleOf } from '../../../../core/ledger/pricing.ts'
import { ZERO_DIGEST } from '../../../../core/ledger/settlement.ts'
import { type Applied, auditBooks, type Refused, replay } from '../../../../core/log/apply.ts'
import { type Correction, correctionCodec, correctionEntryCodec } from '../../../../core/log/bodies-certified.ts'
import { bondOf } from '../../../../core/log/disputing.ts'
import { expiredRuling, rulingOf } from '../../../../core/log/ruling.ts'
import { auditPermilleOf } from '../../../../core/log/standing.ts'
import { createState } from '../../../../core/log/state.ts'
import { DISPUTE_CLAIMS, DISPUTE_OUTCOMES } from '../../../../core/verification/dispute.ts'
import type { Finding } from '../../../../core/verification/finding.ts'
import { ALICE, applied, LogSwarm, MINT_KEY, NO_SIGNATURES } from '../../../support/log-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { keyNamed } from '../../../support/people.ts'
import {
  AUDITED,
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
import { testSeed } from '../../../support/seeded-random.ts'

const PLATFORM = platformAccount('home')
const [EDGE, WORKER, OTHER] = [keyNamed('edge'), keyNamed('w0'), keyNamed('w1')]
const BONUS = permilleOf(BASE, DEFAULT_PRICES.bonusPermille)
const SUSPECT = { verdict: 'suspect', reason: 'audit_suspect', methods: 7 } as const

function reasonOf(result: Applied | Refused): string {
  return result.status === 'refused' ? result.reason : 'applied'
}

test('an upheld rejection takes the pay back, slashes, and shares at most half of that', () => {
  const { swarm, job } = settled({ savings: 100n * CREDIT })
  const before = standing(swarm)
  const end = ruled({ swarm, job }, ALICE, 'reject', 'upheld', REFEREES)
  const slash = 10n * BASE
  const share = slash / 2n / 6n
  assert.equal(legsOf(end), [
    ['payment taken back', NODE, USER, BASE + BONUS],
    ['slash', NODE, PLATFORM, slash - 6n * share],
    ['share of a slash', NODE, USER, share],
    ...REFEREES.map((referee) => ['share of a slash', NODE, nodeAccount(referee), share]),
    ['bond returned', PLATFORM, USER, bondOf(job)],
  ])
  assert.is(swarm.balance(NODE), 100n * CREDIT - slash)
  assert.is(swarm.state.accounts.get(PLATFORM)?.held, 0n)
  const after = standing(swarm)
  assert.is(after.failed, before.failed + 4)
  assert.is(auditPermilleOf(after, swarm.genesis.policy), 1_000)
  assert.is(after.watch, 50)
  assert.is(swarm.job(job.id).disputes[0]?.outcome, 'upheld')
  assert.is(swarm.job(job.id).correctionCount, 1)
})

test('a slash takes what a worker has and no more, the user first', () => {
  const { swarm, job } = settled()
  const end = ruled({ swarm, job }, ALICE, 'reject', 'upheld', REFEREES)
  assert.equal(legsOf(end), [
    ['payment taken back', NODE, USER, BASE + BONUS],
    ['bond returned', PLATFORM, USER, bondOf(job)],
  ])
  assert.is(swarm.balance(NODE), 0n)
})

test('of a replica that an audit has failed already there is no pay to take back', () => {
  const { swarm, job } = settled({ finding: FAILED, savings: BASE })
  const end = ruled({ swarm, job }, ALICE, 'reject', 'upheld', [])
  assert.equal(legsOf(end), [
    ['slash', NODE, PLATFORM, BASE - BASE / 2n],
    ['share of a slash', NODE, USER, BASE / 2n],
    ['bond returned', PLATFORM, USER, bondOf(job)],
  ])
})

test('a worker that has itself slashed gets no share', () => {
  const { swarm, job } = settled({ savings: 100n * CREDIT })
  const end = ruled({ swarm, job }, WORKER, 'reject', 'upheld', [])
  assert.equal(legsOf(end), [
    ['payment taken back', NODE, USER, BASE + BONUS],
    ['slash', NODE, PLATFORM, 10n * BASE],
    ['bond returned', PLATFORM, NODE, bondOf(job)],
  ])
})

test('a frivolous rejection loses its bond: half to the worker, half to the platform', () => {
  const { swarm, job } = settled()
  const before = swarm.balance(USER)
  const end = ruled({ swarm, job }, ALICE, 'reject', 'rejected', REFEREES)
  assert.equal(legsOf(end), [['bond of a dispute that was lost', PLATFORM, NODE, bondOf(job) / 2n]])
  assert.is(swarm.balance(USER), before - bondOf(job))
  assert.is(swarm.balance(PLATFORM), bondOf(job) / 2n)
  assert.is(swarm.state.accounts.get(PLATFORM)?.held, 0n)
  assert.is(standing(swarm).failed, 0)
})

test('an inconclusive dispute costs nobody anything', () => {
  const { swarm, job } = settled()
  const before = [USER, NODE, PLATFORM].map((id) => swarm.balance(id))
  const end = ruled({ swarm, job }, ALICE, 'reject', 'inconclusive', [])
  assert.equal(legsOf(end), [['bond returned', PLATFORM, USER, bondOf(job)]])
  assert.equal(
    [USER, NODE, PLATFORM].map((id) => swarm.balance(id)),
    before,
  )
})

test('a worker that was failed wrongly is paid by the platform, as far as it goes, and stands as it did', () => {
  const poor = settled({ finding: FAILED, savings: bondOf({ holdAmount: 0n }) })
  const user = poor.swarm.balance(USER)
  const fault = standing(poor.swarm)
  assert.is(fault.failed, 1)
  const end = ruled(poor, WORKER, 'accept', 'upheld', REFEREES)
  assert.equal(legsOf(end), [['bond returned', PLATFORM, NODE, bondOf(poor.job)]])
  assert.is(standing(poor.swarm).failed, 0)
  assert.is(standing(poor.swarm).passed, fault.passed + 1)

  const rich = settled({ finding: FAILED, savings: CREDIT })
  applied(rich.swarm.apply('mint', rich.swarm.mint(PLATFORM, CREDIT, 'platform')))
  const paid = ruled(rich, WORKER, 'accept', 'upheld', REFEREES)
  assert.equal(legsOf(paid), [
    ['bond returned', PLATFORM, NODE, bondOf(rich.job)],
    ['payment restored', PLATFORM, NODE, BASE],
  ])
  assert.is(rich.swarm.balance(USER), user)
})

test('a doubt that was wrong is made good where it cost the base: in a job that was refunded', () => {
  const paid = settled({ finding: SUSPECT, savings: CREDIT })
  applied(paid.swarm.apply('mint', paid.swarm.mint(PLATFORM, CREDIT, 'platform')))
  assert.is(ruled(paid, WORKER, 'accept', 'upheld', []).transfers.length, 1)
  const refunded = settled({ finding: SUSPECT, savings: CREDIT, chosen: null })
  applied(refunded.swarm.apply('mint', refunded.swarm.mint(PLATFORM, CREDIT, 'platform')))
  const end = ruled(refunded, WORKER, 'accept', 'upheld', [])
  assert.equal(legsOf(end)[1], ['payment restored', PLATFORM, NODE, BASE])
})

test('a worker whose audit was right loses its bond to the platform', () => {
  const { swarm, job } = settled({ finding: FAILED, savings: CREDIT })
  assert.equal(legsOf(ruled({ swarm, job }, WORKER, 'accept', 'rejected', REFEREES)), [])
  assert.is(swarm.balance(PLATFORM), bondOf(job))
  assert.is(swarm.state.accounts.get(PLATFORM)?.held, 0n)
  assert.is(swarm.balance(NODE), 0n)
})

function unsigned(correction: Correction): Uint8Array {
  return correctionEntryCodec.encode({ correction: correctionCodec.encode(correction), attempt: 0, ...NO_SIGNATURES })
}

for (const [who, opener, kept] of [
  ['its user', ALICE, true],
  ['its edge', EDGE, true],
  ['a worker', OTHER, false],
] as const) {
  test(`a dispute that ${who} opened and nobody ended in an hour may be closed by anybody`, () => {
    const { swarm, job } = settled()
    applied(swarm.apply('mint', swarm.mint(userAccount(EDGE.peer), CREDIT, 'edge')))
    applied(swarm.apply('mint', swarm.mint(nodeAccount(OTHER.peer), CREDIT, 'other')))
    applied(swarm.apply('dispute', swarm.dispute(job, opener)))
    const now = swarm.job(job.id)
    const body = unsigned(expiredRuling(now, now.disputes[0] ?? missing('a dispute')))
    swarm.nowMs += 3_599_999n
    assert.is(reasonOf(swarm.apply('correction', body)), 'deadline_not_reached')
    swarm.nowMs += 1n
    const end = applied(swarm.apply('correction', body))
    assert.is(end.transfers.length, kept ? 0 : 1)
    assert.is(swarm.balance(PLATFORM), kept ? CREDIT : 0n)
    assert.is(swarm.state.accounts.get(PLATFORM)?.held, 0n)
    assert.is(swarm.job(job.id).disputes[0]?.outcome, 'inconclusive')
    assert.is(reasonOf(swarm.apply('correction', body)), 'correction_mismatch')
  })
}

/** Bodies that a quorum may have signed and the log takes none of. */
const WRONG: Record<string, (body: Correction) => Correction> = {
  'counts a referee twice': (body) => ({ ...body, referees: [...REFEREES, ...REFEREES.slice(0, 1)] }),
  'moves what it likes': (body) => ({
    ...body,
    legs: [{ from: { kind: 'node', key: WORKER.publicKey }, to: { kind: 'user', key: ALICE.publicKey }, amount: 1n }],
  }),
  'is another number': (body) => ({ ...body, number: 1 }),
  'is about another dispute': (body) => ({ ...body, dispute: body.jobId }),
  'has no outcome': (body) => ({ ...body, outcome: 'none', reason: 'dispute_none' }),
  'says another reason': (body) => ({ ...body, reason: 'because' }),
  'pays referees that agreed on nothing': (body) => ({
    ...body,
    outcome: 'inconclusive',
    reason: 'dispute_inconclusive',
  }),
  'has passed an hour before its time': (body) => ({ ...body, outcome: 'upheld', reason: 'dispute_expired' }),
}
for (const [what, wrong] of Object.entries(WRONG)) {
  test(`a ruling that ${what} is refused`, () => {
    const { swarm, job } = settled()
    applied(swarm.apply('dispute', swarm.dispute(job, ALICE)))
    const now = swarm.job(job.id)
    const sound = rulingOf(now, now.disputes[0] ?? missing('a dispute'), 'upheld', REFEREES)
    assert.is(reasonOf(swarm.apply('correction', swarm.certifiedCorrection(wrong(sound)))), 'correction_mismatch')
    assert.is(reasonOf(swarm.apply('correction', swarm.certifiedCorrection(sound))), 'applied')
  })
}

test('a correction without a dispute names no outcome', () => {
  const { swarm, job } = settled({ savings: CREDIT })
  const none = { dispute: ZERO_DIGEST, outcome: 'none', referees: [] } as const
  const legs = [
    { from: { kind: 'node', key: WORKER.publicKey }, to: { kind: 'user', key: ALICE.publicKey }, amount: 1n },
  ] as const
  const body = { jobId: job.id, number: 0, reason: 'put right', legs, ...none }
  const half = swarm.certifiedCorrection({ ...body, outcome: 'upheld' })
  assert.is(reasonOf(swarm.apply('correction', half)), 'correction_mismatch')
  assert.is(reasonOf(swarm.apply('correction', swarm.certifiedCorrection(body))), 'applied')
})

test('nobody ends a dispute without a quorum', () => {
  const { swarm, job } = settled()
  applied(swarm.apply('dispute', swarm.dispute(job, ALICE)))
  const now = swarm.job(job.id)
  const body = rulingOf(now, now.disputes[0] ?? missing('a dispute'), 'upheld', REFEREES)
  assert.is(reasonOf(swarm.apply('correction', unsigned(body))), 'certificate_invalid')
})

/** What a random case starts from, and what is done to it. */
const anyCase = fc.record({
  verdicts: fc.array(
    fc.constantFrom<Partial<Finding>>({}, AUDITED, { ...FAILED, ...AUDITED }, FAILED, SUSPECT, {
      verdict: 'inconclusive',
    }),
    {
      minLength: 2,
      maxLength: 2,
    },
  ),
  tokenCount: fc.nat(300),
  refunded: fc.boolean(),
  savings: fc.constantFrom(0n, CREDIT, 3n * CREDIT, 20n * CREDIT),
  reserve: fc.bigInt({ min: 0n, max: CREDIT / 50n }),
  vestMs: fc.constantFrom(0n, 1_000n),
  disputes: fc.array(
    fc.record({
      opener: fc.nat(2),
      replica: fc.nat(2),
      claim: fc.constantFrom(...DISPUTE_CLAIMS),
      end: fc.constantFrom(...DISPUTE_OUTCOMES),
      referees: fc.nat(5),
      spent: fc.bigInt({ min: 0n, max: 2n * CREDIT }),
    }),
    { minLength: 1, maxLength: 6 },
  ),
})

test('credit is conserved by any disputes of any job, and nobody but the mint goes below zero', () => {
  const seen: Record<string, number> = {}
  const conserved = fc.property(anyCase, ({ verdicts, tokenCount, refunded, savings, reserve, vestMs, disputes }) => {
    const swarm = new LogSwarm({ prices: { ...DEFAULT_PRICES, vestMs } })
    const job = swarm.judged({}, [verdicts[0] ?? {}, verdicts[1] ?? {}, { tokenCount }])
    applied(swarm.apply('settlement', swarm.settlement(job, refunded ? null : 2)))
    for (const [account, amount] of [
      [NODE, savings],
      [nodeAccount(OTHER.peer), savings],
      [PLATFORM, reserve],
    ] as const)
      if (amount > 0n) applied(swarm.apply('mint', swarm.mint(account, amount, account)))
    for (const { opener, replica, claim, end, referees, spent } of disputes) {
      const worker = [WORKER, OTHER][replica] ?? ALICE
      const key = claim === 'accept' ? worker : ([ALICE, WORKER, OTHER][opener] ?? ALICE)
      const opened = swarm.apply('dispute', swarm.dispute(job, key, { replica, claim }))
      seen[reasonOf(opened)] = (seen[reasonOf(opened)] ?? 0) + 1
      check(swarm)
      if (opened.status === 'refused') continue
      // Between a dispute and its end its parties go on spending, and the platform too.
      for (const [from, signer] of [
        [nodeAccount(key.peer), key],
        [PLATFORM, MINT_KEY],
      ] as const)
        spend(swarm, from, signer, spent)
      const ruling = swarm.ruling(job, end, end === 'inconclusive' ? [] : REFEREES.slice(0, referees))
      applied(swarm.apply('correction', ruling))
      seen[`${claim} ${end}`] = (seen[`${claim} ${end}`] ?? 0) + 1
      check(swarm)
    }
    assert.is(swarm.state.accounts.get(PLATFORM)?.held ?? 0n, 0n)
    const again = createState(swarm.genesis)
    assert.is(replay(again, swarm.entries).status, 'ok')
    assert.equal([...again.accounts.entries()], [...swarm.state.accounts.entries()])
  })
  fc.assert(conserved, { seed: testSeed(), numRuns: 150 })
  for (const claim of DISPUTE_CLAIMS)
    for (const end of DISPUTE_OUTCOMES)
      assert.ok((seen[`${claim} ${end}`] ?? 0) > 0, `${claim} ${end}: ${JSON.stringify(seen)}`)
})

function spend(swarm: LogSwarm, from: AccountId, signer: KeyPair, amount: bigint): void {
  const key = `spend ${swarm.entries.length}`
  const elsewhere = userAccount(keyNamed('shop').peer)
  const body = { kind: 'transfer', from, to: elsewhere, amount, idempotencyKey: key } as const
  if (amount > 0n) swarm.apply('transfer', swarm.direct(body, signer))
}

/** The books are zero-sum, nobody is below zero, and the platform holds exactly the open bonds. */
function check({ state }: LogSwarm): void {
  assert.is(auditBooks(state).total, 0n)
  let bonds = 0n
  for (const [, { disputes }] of state.jobs.entries())
    for (const { outcome, bond } of disputes) if (outcome === null) bonds += bond
  assert.is(state.accounts.get(PLATFORM)?.held ?? 0n, bonds)
}

test.run()
