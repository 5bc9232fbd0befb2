import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { platformAccount, userAccount } from '../../../../core/ids.ts'
import { DEFAULT_PRICES, permilleOf, quote, replicaPrice } from '../../../../core/ledger/pricing.ts'
import {
  CHOSEN_NONE,
  expirySettlement,
  findingsHash,
  type Settled,
  type SettlementBody,
  type SettlementInput,
  settle,
  settlementCodec,
  settlementTransfers,
  ZERO_DIGEST,
} from '../../../../core/ledger/settlement.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { type Finding, VERDICTS, type Verdict } from '../../../../core/verification/finding.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed, validatorKeys } from '../../../support/people.ts'
import { testSeed } from '../../../support/seeded-random.ts'

const WORKERS = ['w0', 'w1', 'w2'].map((name) => keyNamed(name).peer)
const VALIDATORS = validatorKeys(4).map((key) => key.peer)
const INTENT = {
  ...{ modelMegaParams: 3, promptTokens: 16, maxTokens: 256, replicas: 3, speedTarget: 0 },
  ...{ task: 'chat', sampling: { kind: 'gumbel-v1' } },
}
const AUDITORS = ['a0', 'a1', 'a2'].map((name) => keyNamed(name).peer)

function finding(replica: number, parts: Partial<Finding> = {}): Finding {
  return {
    ...{ jobId: jobNamed('job'), attempt: 0, replica, worker: WORKERS[replica] ?? WORKERS[0] ?? keyNamed('w0').peer },
    ...{ commitmentHash: digestNamed('commitment'), tokensRoot: digestNamed('output'), tokenCount: 100 },
    ...{
      verdict: 'pass',
      methods: 3,
      reason: 'none',
      agree: 3,
      policyId: digestNamed('policy'),
      auditsHash: ZERO_DIGEST,
      evidenceMicro: 0,
      auditors: [],
      outvoted: [],
      tokensPerSecondMilli: 0,
      ...parts,
    },
  }
}

function input(verdicts: readonly Partial<Finding>[], parts: Partial<SettlementInput> = {}): SettlementInput {
  return {
    ...{ swarmId: swarmNamed('swarm'), prices: DEFAULT_PRICES, intent: INTENT, jobId: jobNamed('job'), attempt: 0 },
    ...{ workers: WORKERS, validators: VALIDATORS, assignmentHash: digestNamed('assignment') },
    ...{
      findings: verdicts.map((verdict, replica) => finding(replica, verdict)),
      chosen: 0,
      reason: 'output_rejected',
    },
    ...{ assurance: 'unaudited', holdMs: 1_000n, ...parts },
  }
}

function bodyOf(settled: Settled): SettlementBody {
  if (settled.status !== 'ok') throw new Error(settled.status)
  return settled.body
}

const legsOf = (body: SettlementBody): readonly string[] => body.legs.map(({ kind, node }) => `${kind} ${nameOf(node)}`)
const nameOf = (peer: string): string =>
  ['w0', 'w1', 'w2', 'v0', 'v1', 'v2', 'v3', 'a0', 'a1', 'a2'].find((name) => keyNamed(name).peer === peer) ?? '?'
const FEES = ['fee v0', 'fee v1', 'fee v2', 'fee v3']

test('three replicas that agree earn base and bonus, the validators share the fee', () => {
  const body = bodyOf(settle(input([{}, {}, {}])))
  assert.equal(legsOf(body), ['base w0', 'bonus w0', 'base w1', 'bonus w1', 'base w2', 'bonus w2', ...FEES])
  assert.is(body.outcome, 'paid')
  assert.is(body.outputRoot, digestNamed('output'))
  assert.is(body.cost + body.refund, quote(DEFAULT_PRICES, INTENT).hold)
})

const PAYOUT: Record<Verdict, readonly string[]> = {
  pass: ['base w1', 'bonus w1'],
  inconclusive: ['base w1'],
  suspect: ['base w1'],
  abstain: ['base w1'],
  fail: [],
}
for (const verdict of VERDICTS) {
  test(`a replica found ${verdict} earns ${PAYOUT[verdict].join(' and ') || 'nothing'}`, () => {
    const body = bodyOf(settle(input([{}, { verdict }, {}])))
    assert.equal(
      legsOf(body).filter((leg) => leg.endsWith('w1')),
      PAYOUT[verdict],
    )
  })
}

test('who was as fast as the job wished earns a speed bonus, and what nobody earned goes back', () => {
  const intent = { ...INTENT, speedTarget: 20 }
  const speeds = [20_000, 19_999, 0].map((tokensPerSecondMilli) => ({ tokensPerSecondMilli }))
  const body = bodyOf(settle(input(speeds, { intent })))
  assert.equal(legsOf(body), ['base w0', 'bonus w0', 'speed w0', 'base w1', 'bonus w1', 'base w2', 'bonus w2', ...FEES])
  const [base, , speed] = body.legs
  assert.is(speed?.amount, ((base?.amount ?? 0n) * BigInt(DEFAULT_PRICES.speedPermille)) / 1_000n)
  assert.is(body.cost + body.refund, quote(DEFAULT_PRICES, intent).hold)
})

test('whose reports made a verdict is paid for the output that they read, without a fee on it', () => {
  const short = { auditors: AUDITORS.slice(0, 1), tokenCount: 40, tokensRoot: digestNamed('other output') }
  const body = bodyOf(settle(input([{ auditors: AUDITORS.slice(1) }, short, {}])))
  const work = ['base w0', 'bonus w0', 'base w1', 'base w2', 'bonus w2']
  assert.equal(legsOf(body), [...work, 'audit a1', 'audit a2', 'audit a0', ...FEES])
  const size = { megaParams: 3, promptTokens: 16, factorPermille: 1_000 }
  const pay = [100, 100, 40].map((outputTokens) =>
    permilleOf(replicaPrice(DEFAULT_PRICES, { ...size, outputTokens }), DEFAULT_PRICES.reportPermille),
  )
  assert.equal(
    body.legs.flatMap(({ kind, amount }) => (kind === 'audit' ? [amount] : [])),
    pay,
  )
  const unaudited = bodyOf(settle(input([{}, { ...short, auditors: [] }, {}])))
  assert.is(
    body.cost - unaudited.cost,
    pay.reduce((sum, amount) => sum + amount, 0n),
  )
  assert.is(body.cost + body.refund, quote(DEFAULT_PRICES, INTENT).hold)
})

test('auditors that found an output wrong are paid out of what its user gets back, those of another attempt are not', () => {
  const wrong = { verdict: 'fail', auditors: AUDITORS.slice(0, 2) } as const
  const body = bodyOf(settle(input([wrong, { ...wrong, attempt: 1 }], { chosen: null })))
  assert.equal([body.outcome, body.reason, body.chosen], ['refunded', 'output_rejected', CHOSEN_NONE])
  assert.equal(legsOf(body), ['audit a0', 'audit a1'])
  assert.is(body.cost + body.refund, quote(DEFAULT_PRICES, INTENT).hold)
})

test('no report is paid for where nobody can replay the job', () => {
  const audited = { auditors: AUDITORS }
  const plain = { ...INTENT, sampling: { kind: 'plain' } }
  assert.equal(legsOf(bodyOf(settle(input([audited, {}, {}], { intent: plain })))).includes('audit a0'), false)
})

test('speed is paid for the answer that counts alone: not for another one, nor for one that failed or may have', () => {
  const intent = { ...INTENT, speedTarget: 20 }
  const fast = { tokensPerSecondMilli: 90_000 }
  const other = { ...fast, tokensRoot: digestNamed('other output') }
  const body = bodyOf(settle(input([fast, other, { ...fast, verdict: 'suspect' }], { intent })))
  assert.equal(legsOf(body), ['base w0', 'bonus w0', 'speed w0', 'base w1', 'base w2', ...FEES])
  assert.equal(legsOf(bodyOf(settle(input([fast, {}, {}])))).includes('speed w0'), false, 'none was offered')
})

test('a pass with another output than the chosen one earns base alone', () => {
  const body = bodyOf(settle(input([{}, { tokensRoot: digestNamed('other output') }, {}])))
  assert.equal(
    legsOf(body).filter((leg) => leg.endsWith('w1')),
    ['base w1'],
  )
})

test('an inconclusive output may be chosen and earns no bonus', () => {
  const body = bodyOf(settle(input([{ verdict: 'inconclusive' }, { verdict: 'fail' }, { verdict: 'inconclusive' }])))
  assert.equal(legsOf(body), ['base w0', 'base w2', ...FEES])
})

test('a replica that failed, is suspect or abstained cannot be the answer', () => {
  for (const verdict of ['fail', 'suspect', 'abstain'] as const)
    assert.is(settle(input([{ verdict }, {}, {}])).status, 'chosen_unsound')
  assert.is(settle(input([{}, {}, {}], { chosen: 3 })).status, 'chosen_unsound')
})

test('nothing is paid before every replica has its finding', () => {
  assert.is(settle(input([{}, {}])).status, 'findings_missing')
  assert.is(settle(input([{}, {}, { worker: keyNamed('stranger').peer }])).status, 'findings_missing')
  assert.is(settle(input([{}, {}, { attempt: 1 }])).status, 'findings_missing')
})

test('every paid replica is paid for the tokens of the chosen output', () => {
  const [one, two] = bodyOf(settle(input([{}, { verdict: 'inconclusive', tokenCount: 200 }, {}]))).legs.filter(
    ({ kind }) => kind === 'base',
  )
  assert.is(one?.amount, two?.amount)
})

test('a token count above what the user asked for charges no more', () => {
  const long = { tokenCount: 4_000_000, auditors: AUDITORS }
  const body = bodyOf(settle(input([long, long, long])))
  assert.is(body.refund, 0n)
})

test('fee dust goes to the first validators and vesting runs from the hold', () => {
  const body = bodyOf(settle(input([{}, {}, {}], { prices: { ...DEFAULT_PRICES, vestMs: 500n } })))
  const fees = body.legs.filter(({ kind }) => kind === 'fee').map(({ amount }) => amount)
  assert.equal(fees, [488n, 488n, 487n, 487n])
  assert.ok(body.legs.every(({ vestsAtMs }) => vestsAtMs === 1_500n))
})

test('a refund gives everything back, whatever the findings', () => {
  const body = bodyOf(settle(input([{}, {}, {}], { chosen: null })))
  assert.is(body.outcome, 'refunded')
  assert.is(body.chosen, CHOSEN_NONE)
  assert.is(body.refund, quote(DEFAULT_PRICES, INTENT).hold)
  assert.equal(body.legs, [])
})

test('a refund by expiry depends on the intent alone', () => {
  const { swarmId, prices, intent, jobId, assurance } = input([])
  const body = expirySettlement({ swarmId, prices, intent, jobId, assurance })
  assert.is(body.reason, 'deadline')
  assert.is(body.assignmentHash, ZERO_DIGEST)
  assert.is(body.findingsHash, findingsHash(swarmId, []))
})

test('the findings hash does not depend on the order in which they came', () => {
  const [a, b] = [finding(0), finding(1)]
  assert.is(findingsHash(swarmNamed('swarm'), [a, b]), findingsHash(swarmNamed('swarm'), [b, a]))
  assert.is.not(findingsHash(swarmNamed('swarm'), [a]), findingsHash(swarmNamed('swarm'), [a, b]))
})

test('legs and refund are the hold for every mix of verdicts, prices and lengths, and the body fits a receipt', () => {
  const verdicts = fc.array(
    fc.record({
      verdict: fc.constantFrom(...VERDICTS),
      tokenCount: fc.nat(1_000),
      tokensPerSecondMilli: fc.nat(2_000),
      auditors: fc.subarray(AUDITORS),
    }),
    {
      minLength: 3,
      maxLength: 3,
    },
  )
  const prices = fc.record({
    jobMicro: fc.bigInt({ min: 0n, max: 10n ** 6n }),
    tokenMicro: fc.bigInt({ min: 1n, max: 10n ** 4n }),
    tokenMicroPerGigaParam: fc.bigInt({ min: 0n, max: 10n ** 4n }),
    bonusPermille: fc.nat(10_000),
    feePermille: fc.nat(10_000),
    vestMs: fc.constant(0n),
    speedPermille: fc.nat(10_000),
    reportPermille: fc.nat(10_000),
  })
  const conserved = fc.property(
    verdicts,
    prices,
    fc.nat(2),
    fc.constantFrom(0, 1),
    (mix, table, chosen, speedTarget) => {
      const intent = { ...INTENT, speedTarget }
      const settled = settle(input(mix, { prices: table, chosen, intent }))
      if (settled.status !== 'ok') return
      const { body } = settled
      assert.is(body.legs.reduce((sum, { amount }) => sum + amount, 0n) + body.refund, quote(table, intent).hold)
      assert.ok(body.refund >= 0n && body.legs.every(({ amount }) => amount > 0n))
      const decoded = settlementCodec.decode(settlementCodec.encode(body))
      assert.equal(decoded, { action: 'accept', value: body })
    },
  )
  fc.assert(conserved, { seed: testSeed() })
})

test('five replicas and thirteen validators fit the settlement body', () => {
  const workers = ['a', 'b', 'c', 'd', 'e'].map((name) => keyNamed(name).peer)
  const findings = workers.map((worker, replica) =>
    finding(replica, { worker, tokensPerSecondMilli: 1_000, auditors: AUDITORS }),
  )
  const validators = validatorKeys(13).map((key) => key.peer)
  const body = bodyOf(
    settle(input([], { workers, findings, validators, intent: { ...INTENT, replicas: 5, speedTarget: 1 } })),
  )
  assert.is(body.legs.length, 43)
  assert.ok(settlementCodec.encode(body).length < settlementCodec.bytesMax)
  const transfers = settlementTransfers(body, jobNamed('job'), keyNamed('alice').peer, platformAccount('home'))
  assert.ok(transfers.length <= LIMITS.linkedTransferCountMax)
  assert.ok(transfers.every(({ op, debit }) => op === 'void' || debit === userAccount(keyNamed('alice').peer)))
})

test.run()
