/** What the ledger of a validator that holds the log and the ledger of a follower share: their face, and the way entries become rows. */
import { domainHash } from '#core/hash'
import { utf8 } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { type Digest, digestOf } from '../../core/ids.ts'
import type { Applied } from '../../core/log/apply.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import type { Refused } from '../../core/log/refusal.ts'
import type { LogState } from '../../core/log/state.ts'
import type { AuditView } from '../runtime/app.ts'
import type { Ledger, StoreWrite } from '../runtime/ports.ts'

/** @param own  this node asked for the entry */
export type AppliedListener = (applied: Applied, own: boolean) => void
export type Alongside = (applied: Applied) => readonly StoreWrite[]

/** A ledger with the state that it keeps: of a validator that holds the log, or of a node that follows it. */
export interface StateLedger extends Ledger {
  /** What the durable log adds up to; read it, never write it. */
  readonly state: LogState
  /** Why this copy and the log part ways, once they do: nothing is appended from then on. */
  readonly fault: FabricError | undefined
  /** True while an append of this node with this key (`appendKey`) is under way. */
  isAppending(key: Digest): boolean
  /** Calls after each entry is durable here and in the state, in the order of the log. @returns stops the calls */
  onApplied(listener: AppliedListener): () => void
  /** Applies the whole log again and compares the result with every row that the node uses. */
  audit(): Promise<AuditView>
}

export type LedgerOptions = {
  readonly genesis: Genesis
  /** Entries that one proposal may carry. */
  readonly batchCountMax?: number
  /** Entries that may wait; beyond it `append` rejects with CF_STORE_QUEUE_FULL. */
  readonly queueCountMax?: number
  /** A snapshot may be taken after each entry whose index is a multiple of this: no batch goes beyond one. */
  readonly snapshotEvery?: number
}

/** An entry that somebody on this node waits for. */
export type Pending = {
  readonly kind: EntryKind
  readonly body: Uint8Array
  readonly alongside: Alongside | undefined
  readonly resolve: (result: Applied | Refused) => void
  readonly reject: (error: unknown) => void
}

/** The same entry asked for again has the same key. */
export function appendKey(kind: EntryKind, body: Uint8Array): Digest {
  return digestOf(domainHash('append', utf8(kind), body))
}

/** Listeners of one ledger. */
export class AppliedBell {
  readonly #listeners = new Set<AppliedListener>()

  add(listener: AppliedListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  ring(applied: readonly Applied[], own: (applied: Applied) => boolean): void {
    for (const one of applied) for (const listener of this.#listeners) listener(one, own(one))
  }
}

/** How many entries may follow the head at once. */
export function roomAfter(head: bigint, countMax: number, snapshotEvery: number | undefined): number {
  if (snapshotEvery === undefined || head < 0n) return countMax
  const every = BigInt(snapshotEvery)
  return Math.min(countMax, Number(every - (head % every)))
}

/** True when the log and this copy of it cannot both be right. */
export function isFork(error: unknown): error is FabricError {
  return error instanceof FabricError && error.code === 'CF_STORE_FORKED'
}
