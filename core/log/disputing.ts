/**
 * Disputes as the log takes them: who may call a finding wrong, until when, and what it costs.
 *
 * Why a bond: referees work for nothing when a finding stands. The platform holds the bond until the ruling, out of everybody's reach.
 *
 * @see docs/PROTOCOL.md#disputes
 */
import { openAs } from '../identity/envelope.ts'
import { type AccountId, nodeAccount, type PeerId, userAccount } from '../ids.ts'
import { EMPTY_ACCOUNT, spendable } from '../ledger/account.ts'
import type { TransferDraft } from '../ledger/transfer.ts'
import { LIMITS } from '../limits.ts'
import type { Finding } from '../verification/finding.ts'
import { type Dispute, disputeCodec } from './bodies.ts'
import { book, type Handler } from './effects.ts'
import { type Refused, refuse, refuseInvalid } from './refusal.ts'
import { type LoggedDispute, type LoggedJob, type LogState, platformOf } from './state.ts'

/** In prices of the job at full length. */
const BOND_FACTOR = 2n
/** One credit: a small job's dispute costs its referees no less. */
const BOND_MICRO_MIN = 1_000_000n
/** Reasons of a finding that rests on audits alone: only these can have been said wrongly. */
const AUDIT_REASONS: readonly string[] = ['audit_failed', 'audit_suspect']

/** Opens a dispute about one replica of a settled job, and takes its bond. */
export const applyDispute: Handler = (state, entry, hash) => {
  const opened = openAs(disputeCodec, entry.body, state.swarmId)
  if (opened.action !== 'accept') return refuseInvalid(opened)
  const { value, signer: opener } = opened.value
  const job = state.jobs.get(value.jobId)
  if (job === undefined) return refuse('job_unknown')
  const fault = disputeFault(job, value, opener, entry.timeMs)
  if (fault !== undefined) return fault
  const bond = bondOf(job)
  const payer = payerOf(state, opener, bond, entry.timeMs)
  const platform = platformOf(state)
  const draft: TransferDraft = {
    ...{ op: 'direct', kind: 'bond', debit: accountOf(opener, payer), credit: platform, amount: bond },
    ...{ reason: `dispute of replica ${value.replica}`, jobId: job.id, nodeId: job.workers[value.replica] ?? null },
    ...{ idempotencyKey: `dispute/${job.id}/${value.number}`, vestsAtMs: 0n },
  }
  const booked = book(state, entry, hash, [draft], job.id)
  if (booked.status === 'refused') return booked
  changeHeld(state, bond)
  const { replica, claim } = value
  const dispute = { hash, opener, payer, replica, claim, bond, openedMs: entry.timeMs, outcome: null }
  state.jobs.set(job.id, { ...job, disputes: [...job.disputes, dispute] })
  return booked
}

/**
 * Says why a dispute would be refused, but for its opener's money; in the order of the checks.
 *
 * @param timeMs  log time of its entry
 */
export function disputeFault(job: LoggedJob, dispute: Dispute, opener: PeerId, timeMs: bigint): Refused | undefined {
  const { settlement, disputes } = job
  if (settlement === null) return refuse('job_phase')
  if (dispute.attempt !== job.attempt) return refuse('attempt_mismatch')
  if (!isParty(job, opener)) return refuse('authority_missing')
  if (timeMs > settlement.settledMs + BigInt(LIMITS.disputeWindowMs)) return refuse('dispute_window_closed')
  const finding = job.findings.find(({ replica }) => replica === dispute.replica)
  if (finding === undefined || !isFounded(dispute, finding, opener)) return refuse('dispute_unfounded')
  const same = disputes.filter(({ replica }) => replica === dispute.replica)
  if (same.some(({ outcome }) => outcome === null)) return refuse('dispute_open')
  if (same.some((earlier) => isDecided(earlier, dispute))) return refuse('dispute_decided')
  const own = disputes.filter((earlier) => earlier.opener === opener)
  if (own.length >= LIMITS.disputesPerOpenerMax || disputes.length >= LIMITS.disputesPerJobMax)
    return refuse('dispute_count')
  return dispute.number === disputes.length ? undefined : refuse('dispute_repeated')
}

/** Who paid for the job, drove it or worked on it. */
function isParty({ user, edge, workers }: LoggedJob, peer: PeerId): boolean {
  return peer === user || peer === edge || workers.includes(peer)
}

/**
 * Whether a claim contradicts its finding.
 *
 * Why a replica that an audit failed may be rejected once more: an audit takes its pay, and only referees take more than that.
 */
function isFounded({ claim }: Pick<Dispute, 'claim'>, { verdict, reason, worker }: Finding, opener: PeerId): boolean {
  const byAudit = AUDIT_REASONS.includes(reason)
  if (claim === 'reject') return verdict !== 'fail' || byAudit
  return byAudit && (verdict === 'fail' || verdict === 'suspect') && worker === opener
}

/** Nothing is asked of referees twice, and nothing that others have found true is turned round. */
function isDecided(earlier: LoggedDispute, { claim }: Pick<Dispute, 'claim'>): boolean {
  return earlier.outcome === 'upheld' || (earlier.outcome === 'rejected' && earlier.claim === claim)
}

/** What opening a dispute about a job costs until the ruling, in micro-credits. */
export function bondOf({ holdAmount }: Pick<LoggedJob, 'holdAmount'>): bigint {
  const bond = BOND_FACTOR * holdAmount
  if (bond < BOND_MICRO_MIN) return BOND_MICRO_MIN
  return bond > LIMITS.amountMicroMax ? LIMITS.amountMicroMax : bond
}

/**
 * Which account of the opener has the bond, the user's first.
 *
 * Why unvested earnings do not count: a bond comes back at once, and would bring their time forward.
 */
function payerOf(state: LogState, opener: PeerId, bond: bigint, nowMs: bigint): LoggedDispute['payer'] {
  const has = (id: AccountId): boolean => spendable(state.accounts.get(id) ?? EMPTY_ACCOUNT, nowMs) >= bond
  return !has(userAccount(opener)) && has(nodeAccount(opener)) ? 'node' : 'user'
}

/** The account that a dispute's bond came from. */
export function accountOf(opener: PeerId, payer: LoggedDispute['payer']): AccountId {
  return payer === 'user' ? userAccount(opener) : nodeAccount(opener)
}

/** Bonds are in the platform's balance, and held: nothing else is paid out of them. */
export function changeHeld(state: LogState, amount: bigint): void {
  const platform = platformOf(state)
  const account = state.accounts.get(platform) ?? EMPTY_ACCOUNT
  state.accounts.set(platform, { ...account, held: account.held + amount })
}
