/** How a job's hold is shared out: one pure function, used by whoever proposes, votes, applies or verifies a settlement. */
import { domainHash } from '#core/hash'
import { type BodyOf, code, defineBody, digest, i64, list, peer, record, text, u8, u32, u64 } from '../codec/schema.ts'
import {
  type AccountId,
  type Digest,
  digestBytes,
  digestOf,
  type JobId,
  nodeAccount,
  type PeerId,
  type SwarmId,
  type UserId,
  userAccount,
} from '../ids.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'
import { REPORTS_MAX } from '../verification/auditing.ts'
import { type Finding, findingCodec, METHOD } from '../verification/finding.ts'
import type { Assurance } from '../verification/policy.ts'
import {
  auditPay,
  FACTOR_NONE,
  type Priced,
  type PriceTable,
  permilleOf,
  quote,
  replicaPrice,
  speedBonus,
} from './pricing.ts'
import type { TransferDraft } from './transfer.ts'

export const OUTCOMES = ['paid', 'refunded'] as const
export const LEG_KINDS = ['base', 'bonus', 'fee', 'speed', 'audit'] as const
export const ASSURANCES = ['local', 'unaudited', 'replicated', 'audited', 'unverifiable'] as const
/** `chosen` of a settlement that pays for no output. */
export const CHOSEN_NONE = 255
/** The reason of a refund that needs no votes. */
export const REASON_DEADLINE = 'deadline'
/** Whether a payment was verified is the assurance's to say, not the reason's. */
export const REASON_PAID = 'paid'
const MILLI = 1_000
const LEG_COUNT_MAX = (3 + REPORTS_MAX) * LIMITS.replicaCountMax + LIMITS.validatorCountMax

export const settlementCodec = defineBody(
  'settlement',
  {
    jobId: digest(),
    attempt: u32(),
    outcome: code(OUTCOMES),
    reason: text(64),
    /** Index of the replica whose output is the answer; 255 for none. */
    chosen: u8(),
    /** Token root of the chosen output; 32 zero bytes for none. */
    outputRoot: digest(),
    assurance: code(ASSURANCES),
    /** Sum of the legs. */
    cost: i64(),
    refund: i64(),
    /** Each pays `node/<peer>`. */
    legs: list(record({ kind: code(LEG_KINDS), node: peer(), amount: i64(), vestsAtMs: u64() }), LEG_COUNT_MAX),
    /** 32 zero bytes when the job was never assigned, or is refunded by expiry. */
    assignmentHash: digest(),
    findingsHash: digest(),
  },
  3_072,
)
export type SettlementBody = BodyOf<typeof settlementCodec>
export type SettlementLeg = SettlementBody['legs'][number]

export type SettlementInput = {
  readonly swarmId: SwarmId
  readonly prices: PriceTable
  readonly intent: Priced
  readonly jobId: JobId
  readonly attempt: number
  /** In order of replica; empty when the job was never assigned. */
  readonly workers: readonly PeerId[]
  readonly validators: readonly PeerId[]
  readonly assignmentHash: Digest
  /** Certified findings of this attempt. */
  readonly findings: readonly Finding[]
  /** Index of the replica whose output is the answer, null for a refund. */
  readonly chosen: number | null
  /** Of a refund; a payment's reason is always `paid`. */
  readonly reason: string
  readonly assurance: Assurance
  /** Log time of the hold: credit vests from there, so that the body does not depend on who settles when. */
  readonly holdMs: bigint
}

export type Settled =
  | { readonly status: 'ok'; readonly body: SettlementBody }
  | { readonly status: 'findings_missing' | 'chosen_unsound' }

/**
 * Shares out the hold of a job.
 *
 * Payment by verdict: pass with the chosen output, or with vectors that agree with a majority's, earns base and bonus; pass elsewhere,
 * inconclusive, suspect and abstain earn base; fail earns nothing. Who earns the bonus earns the speed bonus too when witnesses saw it reach
 * the job's speed. Every paid replica is paid for the tokens of the chosen output, of an
 * embedding job for one a text: no worker gains by writing more.
 *
 * Auditors whose reports made a verdict are paid for it, also of a job that is refunded: who is paid for a pass alone finds nothing wrong.
 *
 * @returns  `findings_missing` when a payment lacks the finding of a replica, `chosen_unsound` when the chosen one neither passed nor
 *           was inconclusive
 * @see      docs/PROTOCOL.md#settlement
 */
export function settle(input: SettlementInput): Settled {
  const hold = quote(input.prices, input.intent).hold
  const reported = auditLegs(input)
  if (input.chosen === null) return { status: 'ok', body: { ...refundBody(input, hold), ...shares(hold, reported) } }
  if (input.workers.some((_, replica) => findingOf(input, replica) === undefined)) return { status: 'findings_missing' }
  const chosen = findingOf(input, input.chosen)
  if (chosen === undefined || (chosen.verdict !== 'pass' && chosen.verdict !== 'inconclusive'))
    return { status: 'chosen_unsound' }
  const earned = workerLegs(input, chosen)
  const fee = permilleOf(sumOf(earned), input.prices.feePermille)
  const body: SettlementBody = {
    ...refundBody(input, hold),
    ...{ outcome: 'paid', reason: REASON_PAID, chosen: input.chosen, outputRoot: chosen.tokensRoot },
    ...shares(hold, [...earned, ...reported, ...feeLegs(input, fee)]),
  }
  return { status: 'ok', body }
}

/** The refund that anyone may log once the hold's deadline has passed: it follows from the intent alone. */
export function expirySettlement(
  input: Pick<SettlementInput, 'swarmId' | 'prices' | 'intent' | 'jobId' | 'assurance'>,
): SettlementBody {
  const hold = quote(input.prices, input.intent).hold
  const nothing = { attempt: 0, findings: [], assignmentHash: ZERO_DIGEST, reason: REASON_DEADLINE }
  return refundBody({ ...input, ...nothing }, hold)
}

/** What the settlement does to the books: posts against the hold, then the rest given back. Amounts of zero are left out. */
export function settlementTransfers(
  body: SettlementBody,
  jobId: JobId,
  user: UserId,
  platform: AccountId,
): readonly TransferDraft[] {
  const common = { jobId, reason: body.reason }
  const key = (name: string | number): string => `settlement/${jobId}/${name}`
  const posts = body.legs.map(
    (leg, place): TransferDraft => ({
      ...common,
      ...{ op: 'post', kind: leg.kind, debit: userAccount(user), credit: nodeAccount(leg.node), amount: leg.amount },
      ...{ nodeId: leg.node, idempotencyKey: key(place), vestsAtMs: leg.vestsAtMs },
    }),
  )
  if (body.refund === 0n) return posts
  const back = { debit: platform, credit: userAccount(user), amount: body.refund, nodeId: null, vestsAtMs: 0n }
  return [...posts, { ...common, ...back, op: 'void', kind: 'refund', idempotencyKey: key('refund') }]
}

/** Binds the findings, in order of replica. */
export function findingsHash(swarmId: SwarmId, findings: readonly Finding[]): Digest {
  const ordered = findings.toSorted((a, b) => a.replica - b.replica)
  const digests = ordered.map((finding) => domainHash('finding', digestBytes(swarmId), findingCodec.encode(finding)))
  return digestOf(domainHash('findings', digestBytes(swarmId), ...digests))
}

export const ZERO_DIGEST: Digest = digestOf(new Uint8Array(32))

type RefundInput = Pick<
  SettlementInput,
  'swarmId' | 'jobId' | 'attempt' | 'reason' | 'assurance' | 'assignmentHash' | 'findings'
>

function refundBody(input: RefundInput, hold: bigint): SettlementBody {
  const { jobId, attempt, reason, assurance, assignmentHash } = input
  return {
    ...{ jobId, attempt, outcome: 'refunded', reason, chosen: CHOSEN_NONE, outputRoot: ZERO_DIGEST, assurance },
    ...{ cost: 0n, refund: hold, legs: [], assignmentHash, findingsHash: findingsHash(input.swarmId, input.findings) },
  }
}

function shares(hold: bigint, legs: readonly SettlementLeg[]): Pick<SettlementBody, 'cost' | 'refund' | 'legs'> {
  const cost = sumOf(legs)
  invariant(cost <= hold, 'a hold covers every settlement of its job')
  return { cost, refund: hold - cost, legs: [...legs] }
}

function findingOf(input: SettlementInput, replica: number): Finding | undefined {
  const worker = input.workers[replica]
  return input.findings.find(
    (finding) => finding.replica === replica && finding.worker === worker && finding.attempt === input.attempt,
  )
}

/** Base of a replica with the output that a finding is about. */
export function basePrice(
  prices: PriceTable,
  { modelMegaParams, promptTokens, maxTokens }: Priced,
  { tokenCount }: Pick<Finding, 'tokenCount'>,
): bigint {
  // A finding is others' word: the hold covers no more than the user asked for. Of an embedding job that is one token a text, and the
  // finding counts words of vectors.
  const outputTokens = Math.min(tokenCount, maxTokens)
  return replicaPrice(prices, {
    megaParams: modelMegaParams,
    promptTokens,
    outputTokens,
    factorPermille: FACTOR_NONE,
  })
}

function workerLegs(input: SettlementInput, chosen: Finding): readonly SettlementLeg[] {
  const base = basePrice(input.prices, input.intent, chosen)
  const bonus = permilleOf(base, input.prices.bonusPermille)
  const speed = speedBonus(input.prices, input.intent, base)
  return input.workers.flatMap((worker, replica) => {
    const finding = findingOf(input, replica)
    if (finding === undefined || finding.verdict === 'fail') return []
    const wins = finding.verdict === 'pass' && isSameAnswer(finding, chosen)
    const isFast = finding.tokensPerSecondMilli >= input.intent.speedTarget * MILLI
    return [
      ...leg(input, 'base', worker, base),
      ...(wins ? leg(input, 'bonus', worker, bonus) : []),
      ...(wins && isFast ? leg(input, 'speed', worker, speed) : []),
    ]
  })
}

/** An auditor read the output that it reported on, not the one that was chosen. */
function auditLegs(input: SettlementInput): readonly SettlementLeg[] {
  const { prices, intent, workers } = input
  return workers.flatMap((_, replica) => {
    const finding = findingOf(input, replica)
    if (finding === undefined) return []
    const pay = auditPay(prices, intent, basePrice(prices, intent, finding))
    return finding.auditors.flatMap((auditor) => leg(input, 'audit', auditor, pay))
  })
}

/** Vectors of two machines differ in their last bits; those that passed agree with a majority, and two majorities share a member. */
function isSameAnswer(finding: Finding, chosen: Finding): boolean {
  const agreed = (finding.methods & chosen.methods & METHOD.semantic) !== 0
  return agreed ? chosen.verdict === 'pass' : finding.tokensRoot === chosen.tokensRoot
}

/** Equal shares in the order of the validator set; what does not divide goes to the first ones, one micro-credit each. */
function feeLegs(input: SettlementInput, fee: bigint): readonly SettlementLeg[] {
  const count = BigInt(input.validators.length)
  invariant(count > 0n, 'a set has validators')
  return input.validators.flatMap((validator, place) => {
    const dust = BigInt(place) < fee % count ? 1n : 0n
    return leg(input, 'fee', validator, fee / count + dust)
  })
}

function leg(
  input: SettlementInput,
  kind: SettlementLeg['kind'],
  node: PeerId,
  amount: bigint,
): readonly SettlementLeg[] {
  return amount === 0n ? [] : [{ kind, node, amount, vestsAtMs: input.holdMs + input.prices.vestMs }]
}

function sumOf(legs: readonly SettlementLeg[]): bigint {
  return legs.reduce((sum, { amount }) => sum + amount, 0n)
}
