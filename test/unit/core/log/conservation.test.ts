/** Random logs, honest and hostile mixed: after every entry the books are zero-sum and nobody but the mint is below zero. */
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MINT_ACCOUNT, nodeAccount, platformAccount, userAccount } from '../../../../core/ids.ts'
import { spendable } from '../../../../core/ledger/account.ts'
import { DEFAULT_PRICES } from '../../../../core/ledger/pricing.ts'
import { auditBooks, replay } from '../../../../core/log/apply.ts'
import { settlementOf } from '../../../../core/log/settling.ts'
import { createState, type LoggedJob } from '../../../../core/log/state.ts'
import { VERDICTS } from '../../../../core/verification/finding.ts'
import { ALICE, BOB, LogSwarm, MINT_KEY, START_MS } from '../../../support/log-swarm.ts'
import { keyNamed } from '../../../support/people.ts'
import { testSeed } from '../../../support/seeded-random.ts'

const USERS = [ALICE, BOB]
const WORKER = keyNamed('w0')
const ACCOUNTS = [
  ...USERS.map(({ peer }) => userAccount(peer)),
  nodeAccount(WORKER.peer),
  platformAccount('home'),
  MINT_ACCOUNT,
]
const pick = <T>(items: readonly T[], at: number, otherwise: T): T => items[at % items.length] ?? otherwise

/** One random step: numbers that each action reads as it likes, so that shrinking stays simple. */
type Step = {
  readonly action: number
  readonly a: number
  readonly b: number
  readonly amount: bigint
  readonly forwardMs: number
}

function holdStep(swarm: LogSwarm, { a, b }: Step, jobs: LoggedJob[]): void {
  const body = swarm.holdBody(
    { nonce: BigInt(a % 8), maxTokens: 1 + (b % 64), replicas: 1 + (b % 3), expiresMs: swarm.nowMs + 1_000n },
    pick(USERS, a, ALICE),
  )
  const result = swarm.apply('hold', body)
  if (result.status === 'applied' && result.jobId !== null) jobs.push(swarm.job(result.jobId))
}

function jobStep(swarm: LogSwarm, { action, a, b }: Step, jobs: readonly LoggedJob[]): void {
  const known = jobs[a % Math.max(1, jobs.length)]
  if (known === undefined) return
  const job = swarm.job(known.id)
  if (action === 1) swarm.apply('assignment', swarm.assignment(job, { attempt: b % 8 === 0 ? 1 : 0 }))
  if (action === 2) findStep(swarm, job, b)
  if (action === 4) swarm.apply('settlement', swarm.expiry(job))
  if (action === 3) {
    const chosen = b % 8 === 7 ? null : 0
    if (settlementOf(swarm.state, job, chosen, 'output_rejected').status === 'ok')
      swarm.apply('settlement', swarm.settlement(job, chosen))
  }
  if (action === 5) {
    const leg = {
      from: { kind: 'node', key: WORKER.publicKey },
      to: { kind: 'user', key: BOB.publicKey },
      amount: BigInt(b),
    } as const
    swarm.apply('correction', swarm.correction(job, [leg]))
  }
}

/** Mostly every finding that is missing, so that jobs get as far as their payment; sometimes one, new or not. */
function findStep(swarm: LogSwarm, job: LoggedJob, b: number): void {
  const replicas = b % 4 === 0 ? [b % Math.max(1, job.workers.length)] : job.workers.keys()
  for (const replica of job.workers.length === 0 ? [] : replicas) {
    const verdict = pick(VERDICTS, replica === 0 ? 0 : b, 'pass')
    swarm.apply('result', swarm.result(job, replica, { verdict, tokenCount: b }))
  }
}

function moneyStep(swarm: LogSwarm, { action, a, b, amount }: Step): void {
  const [from, to] = [pick(ACCOUNTS, a, MINT_ACCOUNT), pick(ACCOUNTS, b, MINT_ACCOUNT)]
  const key = `key ${(a + b) % 16}`
  if (action === 6) swarm.apply('mint', swarm.mint(to, amount, key))
  const signer = pick([ALICE, BOB, WORKER, MINT_KEY], a, ALICE)
  const kind = pick(['spend', 'reward', 'transfer'] as const, b, 'transfer')
  if (action === 7) swarm.apply('transfer', swarm.direct({ kind, from, to, amount, idempotencyKey: key }, signer))
}

function checkBooks(swarm: LogSwarm, jobs: readonly LoggedJob[]): void {
  assert.is(auditBooks(swarm.state).total, 0n)
  for (const { peer } of USERS) {
    const open = jobs.map(({ id }) => swarm.job(id)).filter((job) => job.user === peer)
    assert.is(
      swarm.held(peer),
      open.reduce((sum, { holdLeft }) => sum + holdLeft, 0n),
    )
    assert.ok(open.every(({ phase, holdLeft }) => (phase === 'settled') === (holdLeft === 0n)))
  }
  for (const [id, account] of swarm.state.accounts.entries()) {
    assert.ok(id === MINT_ACCOUNT || spendable(account, swarm.nowMs) >= 0n, `${id} is not below zero`)
  }
}

const anyStep: fc.Arbitrary<Step> = fc.record({
  action: fc.constantFrom(0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7),
  a: fc.nat(63),
  b: fc.nat(63),
  amount: fc.bigInt({ min: -1n, max: 200_000n }),
  forwardMs: fc.oneof({ weight: 24, arbitrary: fc.nat(100) }, { weight: 1, arbitrary: fc.constant(700_000) }),
})

test('credit is conserved under any sequence of entries, and a replay gives the same books', () => {
  const seen = { paid: 0, refunded: 0, corrected: 0, moved: 0 }
  const conserved = fc.property(fc.array(anyStep, { minLength: 40, maxLength: 80 }), (steps) => {
    const starters = USERS.map(({ peer }) => ({ user: peer, amount: 300_000n }))
    const swarm = new LogSwarm({ starters, prices: { ...DEFAULT_PRICES, vestMs: 300n } })
    const jobs: LoggedJob[] = []
    for (const next of steps) {
      swarm.nowMs += BigInt(next.forwardMs)
      if (next.action === 0) holdStep(swarm, next, jobs)
      else if (next.action < 6) jobStep(swarm, next, jobs)
      else moneyStep(swarm, next)
      checkBooks(swarm, jobs)
    }
    for (const job of jobs.map(({ id }) => swarm.job(id))) {
      if (job.settlement !== null) seen[job.settlement.outcome] += 1
      seen.corrected += job.correctionCount
    }
    seen.moved += swarm.entries.length
    const again = createState(swarm.genesis)
    assert.equal(replay(again, swarm.entries), { status: 'ok', entries: BigInt(swarm.entries.length) })
    assert.equal([...again.accounts.entries()], [...swarm.state.accounts.entries()])
    assert.ok(swarm.state.head.timeMs >= START_MS)
  })
  fc.assert(conserved, { seed: testSeed(), numRuns: 40 })
  assert.ok(Math.min(...Object.values(seen)) > 0, `every way to end was taken: ${JSON.stringify(seen)}`)
})

test.run()
