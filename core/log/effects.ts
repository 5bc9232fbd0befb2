/** What the handlers of `applyEntry` share: their form, and booking transfers under an entry. */
import type { Digest, JobId } from '../ids.ts'
import { applyTransfers } from '../ledger/rules.ts'
import { numberTransfers, type Transfer, type TransferDraft } from '../ledger/transfer.ts'
import type { Entry } from './entry.ts'
import { type Refused, refuse } from './refusal.ts'
import { booksOf, type LogState } from './state.ts'

export type Effects = {
  readonly status: 'applied'
  readonly transfers: readonly Transfer[]
  readonly jobId: JobId | null
}

/** Writes to a fork that is thrown away when it refuses: a handler need not undo anything. */
export type Handler = (state: LogState, entry: Entry, hash: Digest) => Effects | Refused

/** Effects of an entry that moves no money. */
export function without(jobId: JobId | null = null): Effects {
  return { status: 'applied', transfers: [], jobId }
}

/** Applies a linked group at the entry's log time; a group that breaks a rule refuses the entry. */
export function book(
  state: LogState,
  entry: Entry,
  hash: Digest,
  drafts: readonly TransferDraft[],
  jobId: JobId | null,
): Effects | Refused {
  const status = applyTransfers(booksOf(state), drafts, entry.timeMs)
  return status === 'ok' ? { status: 'applied', transfers: numberTransfers(hash, drafts), jobId } : refuse(status)
}
