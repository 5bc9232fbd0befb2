/** Entries that end a job, and the ones that put a wrong end right. */
import { type AccountId, MINT_ACCOUNT, nodeAccount, peerIdOf, userAccount } from '../ids.ts'
import { invariant } from '../invariant.ts'
import {
  CHOSEN_NONE,
  type SettlementBody,
  settlementCodec,
  settlementTransfers,
  ZERO_DIGEST,
} from '../ledger/settlement.ts'
import type { TransferDraft } from '../ledger/transfer.ts'
import { certificateFault, statementOf } from './authority.ts'
import {
  type AccountRef,
  type Correction,
  correctionCodec,
  correctionEntryCodec,
  type SettlementEntry,
  settlementEntryCodec,
} from './bodies-certified.ts'
import { book, type Handler } from './effects.ts'
import type { Entry } from './entry.ts'
import { type Refused, refuse } from './refusal.ts'
import { applyRuling } from './ruling.ts'
import { expiryOf, settlementOf } from './settling.ts'
import { type LoggedJob, type LogState, platformOf } from './state.ts'

const KEY_BYTES = 32
const CORRECTION_COUNT_MAX = 1_000

/** Pays or refunds a job, once: the legs are computed here and must be the ones that were certified. */
export const applySettlement: Handler = (state, entry, hash) => {
  const decoded = settlementEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const value = decoded.value
  const job = state.jobs.get(value.jobId)
  if (job === undefined) return refuse('job_unknown')
  if (job.phase === 'settled') return refuse('job_phase')
  const body = value.authority === 'expiry' ? expired(state, job, entry) : certified(state, job, value)
  if ('status' in body) return body
  if (!isAsClaimed(body, value)) return refuse('settlement_mismatch')
  const booked = book(state, entry, hash, settlementTransfers(body, job.id, job.user, platformOf(state)), job.id)
  if (booked.status === 'refused') return booked
  const after = state.jobs.get(job.id)
  invariant(after?.holdLeft === 0n, 'a settlement leaves nothing of its hold')
  const { outcome, reason, chosen, cost, refund } = body
  const settlement = {
    outcome,
    reason,
    chosen,
    authority: value.authority,
    cost,
    refund,
    entryHash: hash,
    settledMs: entry.timeMs,
  }
  state.jobs.set(job.id, { ...after, phase: 'settled', settlement })
  return booked
}

function expired(state: LogState, job: LoggedJob, entry: Entry): SettlementBody | Refused {
  return entry.timeMs < job.deadlineMs ? refuse('deadline_not_reached') : expiryOf(state, job)
}

function certified(state: LogState, job: LoggedJob, value: SettlementEntry): SettlementBody | Refused {
  if (value.attempt !== job.attempt) return refuse('attempt_mismatch')
  if (value.outcome === 'paid' && job.phase !== 'assigned') return refuse('job_phase')
  const settled = settlementOf(state, job, value.chosen === CHOSEN_NONE ? null : value.chosen, value.reason)
  if (settled.status !== 'ok') return refuse(settled.status)
  const digest = settlementCodec.digest(state.swarmId, settlementCodec.encode(settled.body))
  const statement = statementOf(state, 'settlement', { subject: job.id, attempt: job.attempt, index: 0, digest })
  return certificateFault(state, statement, value) ?? settled.body
}

/** The entry says no more and nothing else than the body that follows from it: else its proposer could write what nobody signed. */
function isAsClaimed(body: SettlementBody, value: SettlementEntry): boolean {
  const unsigned = value.bitmap === 0 && value.signatures.length === 0
  if (unsigned !== (value.authority === 'expiry')) return false
  return (['outcome', 'reason', 'chosen', 'attempt'] as const).every((field) => body[field] === value[field])
}

/** Appends certified transfers to a settled job; the history keeps what was wrong. */
export const applyCorrection: Handler = (state, entry, hash) => {
  const decoded = correctionEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const read = correctionCodec.decode(decoded.value.correction)
  if (read.action !== 'accept') return refuse('body_malformed')
  const { jobId, number, dispute } = read.value
  const job = state.jobs.get(jobId)
  if (job === undefined) return refuse('job_unknown')
  if (job.phase !== 'settled') return refuse('job_phase')
  if (number !== job.correctionCount || number >= CORRECTION_COUNT_MAX) return refuse('correction_mismatch')
  if (dispute !== ZERO_DIGEST) return applyRuling(state, entry, hash, job, decoded.value, read.value)
  const drafts = correctionDrafts(state, job, read.value)
  if (drafts === undefined) return refuse('correction_mismatch')
  const digest = correctionCodec.digest(state.swarmId, decoded.value.correction)
  const statement = statementOf(state, 'correction', {
    subject: job.id,
    attempt: decoded.value.attempt,
    index: number,
    digest,
  })
  const uncertified = certificateFault(state, statement, decoded.value)
  if (uncertified !== undefined) return uncertified
  state.jobs.set(job.id, { ...job, correctionCount: number + 1 })
  return book(state, entry, hash, drafts, job.id)
}

/** @returns undefined without legs, or when one names no account, the same one twice, or creates credit; or for half a ruling */
function correctionDrafts(
  state: LogState,
  job: LoggedJob,
  { legs, number, reason, outcome, referees }: Correction,
): readonly TransferDraft[] | undefined {
  if (legs.length === 0 || outcome !== 'none' || referees.length > 0) return undefined
  const drafts = legs.flatMap(({ from, to, amount }, place): TransferDraft[] => {
    const [debit, credit] = [accountOf(state, from), accountOf(state, to)]
    if (debit === undefined || credit === undefined || debit === credit || debit === MINT_ACCOUNT) return []
    const nodeId = from.kind === 'node' ? peerIdOf(from.key) : to.kind === 'node' ? peerIdOf(to.key) : null
    const idempotencyKey = `correction/${job.id}/${number}/${place}`
    return [
      {
        op: 'direct',
        kind: 'correction',
        debit,
        credit,
        amount,
        reason,
        jobId: job.id,
        nodeId,
        idempotencyKey,
        vestsAtMs: 0n,
      },
    ]
  })
  return drafts.length === legs.length ? drafts : undefined
}

function accountOf(state: LogState, { kind, key }: AccountRef): AccountId | undefined {
  if (key.length !== (kind === 'user' || kind === 'node' ? KEY_BYTES : 0)) return undefined
  switch (kind) {
    case 'user':
      return userAccount(peerIdOf(key))
    case 'node':
      return nodeAccount(peerIdOf(key))
    case 'platform':
      return platformOf(state)
    case 'mint':
      return MINT_ACCOUNT
  }
}
