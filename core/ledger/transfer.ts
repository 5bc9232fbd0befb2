/** One movement of money between two accounts: immutable, identified by the log entry that carried it. */
import { domainHash } from '#core/hash'
import { u16be } from '../codec/bytes.ts'
import { type AccountId, type Digest, digestBytes, digestOf, type JobId, type PeerId } from '../ids.ts'

/** `hold` reserves, `post` makes part of a hold final, `void` gives the rest back, `direct` moves at once. */
export type TransferOp = 'hold' | 'post' | 'void' | 'direct'

/** Why the money moved. */
export type TransferKind =
  | 'starter'
  | 'mint'
  | 'hold'
  | 'base'
  | 'bonus'
  | 'fee'
  | 'speed'
  | 'audit'
  | 'refund'
  | 'spend'
  | 'reward'
  | 'transfer'
  | 'correction'
  | 'forfeit'
  | 'bond'

export type Transfer = {
  readonly id: Digest
  readonly op: TransferOp
  readonly kind: TransferKind
  /** The account that pays. For `void` the pair of the hold the other way round; it moves no balance. */
  readonly debit: AccountId
  readonly credit: AccountId
  /** Micro-credits, above zero. */
  readonly amount: bigint
  readonly reason: string
  readonly jobId: JobId | null
  /** The peer that the money was for. */
  readonly nodeId: PeerId | null
  readonly idempotencyKey: string
  /** Log time from which the credited side may spend it; 0 is at once. */
  readonly vestsAtMs: bigint
}

/** A transfer before it has an id. */
export type TransferDraft = Omit<Transfer, 'id'>

/** @param place  0-based place within the entry */
export function transferId(entryHash: Digest, place: number): Digest {
  return digestOf(domainHash('transfer', digestBytes(entryHash), u16be(place)))
}

/** Gives the transfers of one entry their ids, in order. */
export function numberTransfers(entryHash: Digest, drafts: readonly TransferDraft[]): readonly Transfer[] {
  return drafts.map((draft, place) => ({ id: transferId(entryHash, place), ...draft }))
}
