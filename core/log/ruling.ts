/**
 * What follows from the end of a dispute: money that goes back, is taken or is shared out, and what becomes of the worker's standing.
 *
 * Why the legs are not in the entry: what a node owns may change until the entry is logged, and nine signatures leave no room for them.
 *
 * @see docs/PROTOCOL.md#disputes
 */
import { type AccountId, nodeAccount, type PeerId, userAccount } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { EMPTY_ACCOUNT } from '../ledger/account.ts'
import { auditPay } from '../ledger/pricing.ts'
import { basePrice, CHOSEN_NONE, type SettlementLeg } from '../ledger/settlement.ts'
import type { TransferDraft } from '../ledger/transfer.ts'
import { LIMITS } from '../limits.ts'
import type { DisputeOutcome } from '../verification/dispute.ts'
import { type Finding, METHOD } from '../verification/finding.ts'
import { abstainersOf, certificateFault, statementOf } from './authority.ts'
import { type Correction, type CorrectionEntry, correctionCodec } from './bodies-certified.ts'
import { accountOf, changeHeld } from './disputing.ts'
import { book, type Effects } from './effects.ts'
import type { Entry } from './entry.ts'
import { type Refused, refuse } from './refusal.ts'
import { intentOf, settlementOf } from './settling.ts'
import { acquit, condemn, markAuditor } from './standing.ts'
import { type LoggedDispute, type LoggedJob, type LogState, platformOf } from './state.ts'

/** In prices of the replica without bonus: an output in ten is audited, so that cheating loses what it could gain in the other nine. */
const SLASH_FACTOR = 10n
/** Of a slash; the rest is the platform's, so that no accuser and no referee lives on slashes. */
const SHARED = 2n
const REASON_EXPIRED = 'dispute_expired'

/** A leg of a ruling; `why` becomes its transfer's reason. */
type Leg = {
  readonly from: AccountId
  readonly to: AccountId
  readonly amount: bigint
  readonly why: string
  readonly vestsAtMs?: bigint
}

/**
 * The correction that validators certify when referees have ruled: kind `correction`, its number as index, without the validators of
 * the worker's owner.
 *
 * @param referees  those that voted for the outcome; none for an inconclusive one
 */
export function rulingOf(
  job: LoggedJob,
  dispute: LoggedDispute,
  outcome: DisputeOutcome,
  referees: readonly PeerId[],
): Correction {
  const common = { jobId: job.id, number: job.correctionCount, legs: [], dispute: dispute.hash }
  return { ...common, outcome, reason: `dispute_${outcome}`, referees: [...referees] }
}

/**
 * The correction that anybody may log, unsigned, LIMITS.disputeRulingMs after a dispute that nobody has brought to a ruling.
 *
 * Whoever had the words and did not bring it so far, the user and the edge, loses the bond: else the edge would drop each dispute of its
 * own that goes against it. A worker has its bond back.
 */
export function expiredRuling(job: LoggedJob, dispute: LoggedDispute): Correction {
  return { ...rulingOf(job, dispute, 'inconclusive', []), reason: REASON_EXPIRED }
}

/** Ends a dispute: books what follows from the outcome and the state, and changes the worker's standing. */
export function applyRuling(
  state: LogState,
  entry: Entry,
  hash: Entry['previous'],
  job: LoggedJob,
  certified: CorrectionEntry,
  ruling: Correction,
): Effects | Refused {
  const dispute = job.disputes.find((one) => one.hash === ruling.dispute && one.outcome === null)
  const { outcome } = ruling
  if (dispute === undefined || outcome === 'none' || !isAsFollows(job, dispute, ruling))
    return refuse('correction_mismatch')
  const finding = findingOf(job, dispute)
  const unauthorised =
    ruling.reason === REASON_EXPIRED
      ? expiryFault(dispute, certified, entry.timeMs)
      : uncertified(state, job, finding, certified, ruling.number)
  if (unauthorised !== undefined) return unauthorised
  changeHeld(state, -dispute.bond)
  const legs = rulingLegs(state, job, dispute, ruling)
  const booked = book(state, entry, hash, draftsOf(job, finding.worker, ruling, legs), job.id)
  if (booked.status === 'refused') return booked
  const disputes = job.disputes.map((one) => (one === dispute ? { ...one, outcome } : one))
  state.jobs.set(job.id, { ...job, disputes, correctionCount: ruling.number + 1 })
  if (outcome !== 'upheld') return booked
  if (dispute.claim === 'reject') condemn(state, finding.worker)
  else acquit(state, finding.worker, finding.verdict === 'fail')
  for (const auditor of overturnedBy(job, dispute)) markAuditor(state, auditor)
  return booked
}

/**
 * Whether an upheld dispute says the opposite of what auditors said.
 *
 * Why not each: an edge has what auditors failed rejected once more, so that its worker is slashed, and such a ruling bears them out.
 * A doubt is no opposite of anything.
 */
function isOverturned({ claim }: LoggedDispute, { verdict }: Finding): boolean {
  return verdict === (claim === 'reject' ? 'pass' : 'fail')
}

/** Whose reports an upheld dispute overturns: those about a class of equal outputs once, however many of the class are disputed. */
function overturnedBy(job: LoggedJob, dispute: LoggedDispute): readonly PeerId[] {
  const finding = findingOf(job, dispute)
  if (!isOverturned(dispute, finding)) return []
  const isEarlier = job.disputes.some((one) => {
    const other = findingOf(job, one)
    return one.outcome === 'upheld' && other.auditsHash === finding.auditsHash && isOverturned(one, other)
  })
  return isEarlier ? [] : auditorsOf(job, finding)
}

/** Whose reports made the verdict that referees have overturned; of a class of equal outputs its first replica's finding names them. */
function auditorsOf({ findings }: LoggedJob, { auditsHash, methods }: Finding): readonly PeerId[] {
  if ((methods & METHOD.prefill) === 0) return []
  return findings.flatMap((one) => (one.auditsHash === auditsHash ? one.auditors : []))
}

/** The body says what follows from its outcome and nothing else: one outcome has one body. */
function isAsFollows(job: LoggedJob, dispute: LoggedDispute, ruling: Correction): boolean {
  const { outcome, referees, reason, legs } = ruling
  if (outcome === 'none' || legs.length > 0 || new Set(referees).size !== referees.length) return false
  if (outcome === 'inconclusive' && referees.length > 0) return false
  const expected = reason === REASON_EXPIRED ? expiredRuling(job, dispute) : rulingOf(job, dispute, outcome, referees)
  return expected.reason === reason && expected.outcome === outcome
}

function expiryFault(dispute: LoggedDispute, certified: CorrectionEntry, timeMs: bigint): Refused | undefined {
  const { bitmap, signatures, attempt } = certified
  if (bitmap !== 0 || signatures.length > 0 || attempt !== 0) return refuse('correction_mismatch')
  return timeMs < dispute.openedMs + BigInt(LIMITS.disputeRulingMs) ? refuse('deadline_not_reached') : undefined
}

function uncertified(
  state: LogState,
  job: LoggedJob,
  { worker }: Finding,
  certified: CorrectionEntry,
  number: number,
): Refused | undefined {
  const digest = correctionCodec.digest(state.swarmId, certified.correction)
  const parts = { subject: job.id, attempt: certified.attempt, index: number, digest }
  return certificateFault(state, statementOf(state, 'correction', parts), certified, abstainersOf(state, worker))
}

/**
 * The movements of money that a ruling asks for, as far as the accounts go: nobody but the mint is ever below zero.
 *
 * @param state  the bond is no longer held in it
 */
export function rulingLegs(
  state: LogState,
  job: LoggedJob,
  dispute: LoggedDispute,
  { outcome, reason, referees }: Pick<Correction, 'outcome' | 'reason' | 'referees'>,
): readonly Leg[] {
  const platform = platformOf(state)
  const opener = accountOf(dispute.opener, dispute.payer)
  const worker = nodeAccount(findingOf(job, dispute).worker)
  const back: Leg = { from: platform, to: opener, amount: dispute.bond, why: 'bond returned' }
  const unearned = outcome === 'upheld' ? unearnedLegs(state, job, dispute) : []
  if (outcome === 'upheld' && dispute.claim === 'reject')
    return [...slashLegs(state, job, dispute, { worker, opener, referees }), back, ...unearned]
  if (outcome === 'upheld') return [back, ...restoredLegs(state, job, dispute, worker), ...unearned]
  if (outcome === 'inconclusive') return reason === REASON_EXPIRED && drives(job, dispute.opener) ? [] : [back]
  // Nobody is accused by a claim that a worker's own output is sound: the platform keeps all of its bond.
  if (dispute.claim === 'accept') return []
  return [{ from: platform, to: worker, amount: dispute.bond / 2n, why: 'bond of a dispute that was lost' }]
}

function drives({ user, edge }: LoggedJob, opener: PeerId): boolean {
  return opener === user || opener === edge
}

type Sides = { readonly worker: AccountId; readonly opener: AccountId; readonly referees: readonly PeerId[] }

/** The user has back what the worker was paid; of what the worker has beyond that, the slash. */
function slashLegs(state: LogState, job: LoggedJob, dispute: LoggedDispute, sides: Sides): readonly Leg[] {
  const { worker, opener, referees } = sides
  const owned = availableOf(state, worker)
  const finding = findingOf(job, dispute)
  const clawed = least(owned, sumOf(earnedBy(state, job, finding.worker)))
  const slash = least(owned - clawed, SLASH_FACTOR * paidBase(state, job, finding), LIMITS.amountMicroMax)
  // Nobody is paid for being slashed.
  const sharers = [opener, ...referees.map(nodeAccount)].filter((account) => account !== worker)
  const share = sharers.length === 0 ? 0n : slash / SHARED / BigInt(sharers.length)
  const rest = slash - share * BigInt(sharers.length)
  return [
    { from: worker, to: userAccount(job.user), amount: clawed, why: 'payment taken back' },
    { from: worker, to: platformOf(state), amount: rest, why: 'slash' },
    ...sharers.map((to) => ({ from: worker, to, amount: share, why: 'share of a slash' })),
  ]
}

/** What the worker would have had without the audit that was wrong. Nothing comes from the user: it was told that it pays no more. */
function restoredLegs(state: LogState, job: LoggedJob, dispute: LoggedDispute, worker: AccountId): readonly Leg[] {
  const finding = findingOf(job, dispute)
  const base = earnedBy(state, job, finding.worker).filter(({ kind }) => kind === 'base')
  const platform = platformOf(state)
  const owed = paidBase(state, job, finding) - sumOf(base)
  const amount = least(owed, availableOf(state, platform) - dispute.bond)
  const vestsAtMs = job.holdMs + state.genesis.prices.vestMs
  return [{ from: platform, to: worker, amount, why: 'payment restored', vestsAtMs }]
}

/** The user paid for a verdict that referees have overturned: as far as they have it, those who gave it give that back. */
function unearnedLegs(state: LogState, job: LoggedJob, dispute: LoggedDispute): readonly Leg[] {
  // An expiry pays nobody.
  if (job.settlement?.authority !== 'certificate') return []
  const { prices } = state.genesis
  const intent = intentOf(job)
  const pay = auditPay(prices, intent, basePrice(prices, intent, findingOf(job, dispute)))
  return overturnedBy(job, dispute).map((auditor) => {
    const from = nodeAccount(auditor)
    return { from, to: userAccount(job.user), amount: least(pay, availableOf(state, from)), why: 'audit not earned' }
  })
}

function draftsOf(job: LoggedJob, nodeId: PeerId, ruling: Correction, legs: readonly Leg[]): readonly TransferDraft[] {
  const paid = legs.filter(({ amount }) => amount > 0n)
  return paid.map(({ from, to, amount, why, vestsAtMs = 0n }, place) => ({
    ...{ op: 'direct', kind: 'correction', debit: from, credit: to, amount, reason: why, jobId: job.id, nodeId },
    ...{ idempotencyKey: `correction/${job.id}/${ruling.number}/${place}`, vestsAtMs },
  }))
}

/** What the settlement paid a worker for its work; what a validator had as its fee is not among it. */
function earnedBy(state: LogState, job: LoggedJob, worker: PeerId): readonly SettlementLeg[] {
  const { settlement } = job
  invariant(settlement !== null, 'only a settled job is disputed')
  const settled = settlementOf(
    state,
    job,
    settlement.chosen === CHOSEN_NONE ? null : settlement.chosen,
    settlement.reason,
  )
  invariant(settled.status === 'ok', 'a settlement that was applied follows from its job')
  return settled.body.legs.filter(({ node, kind }) => node === worker && kind !== 'fee')
}

/** Of one replica without bonus, at the length that its job was paid for; of a refunded job at its own. */
function paidBase(state: LogState, job: LoggedJob, finding: Finding): bigint {
  const chosen = job.findings.find(({ replica }) => replica === job.settlement?.chosen) ?? finding
  return basePrice(state.genesis.prices, intentOf(job), chosen)
}

function findingOf(job: LoggedJob, dispute: LoggedDispute): Finding {
  const finding = job.findings.find(({ replica }) => replica === dispute.replica)
  invariant(finding !== undefined, 'only what was found can be disputed')
  return finding
}

/** What a correction may take: unvested credit too, but none that is held. */
function availableOf(state: LogState, id: AccountId): bigint {
  const { balance, held } = state.accounts.get(id) ?? EMPTY_ACCOUNT
  return balance - held
}

function sumOf(legs: readonly SettlementLeg[]): bigint {
  return legs.reduce((sum, { amount }) => sum + amount, 0n)
}

/** @returns the least of the amounts, 0 at least */
function least(first: bigint, ...others: readonly bigint[]): bigint {
  let smallest = first
  for (const amount of others) if (amount < smallest) smallest = amount
  return smallest < 0n ? 0n : smallest
}
