/** A batch of appends applied to a fork of the state: nothing of it is true before the log has it. */
import { digestBytes } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import { type Applied, applyBuilt, type BuiltEntry, buildEntry, type Refused } from '../../core/log/apply.ts'
import { ENTRY_OVERHEAD_BYTES } from '../../core/log/entry.ts'
import { refuse } from '../../core/log/refusal.ts'
import { forkState, type LogState, mergeState } from '../../core/log/state.ts'
import type { EntryLink, StoreWrite } from '../runtime/ports.ts'
import type { Pending } from './ledger-core.ts'

export type Draft = {
  readonly fork: LogState
  readonly entries: readonly Uint8Array[]
  readonly links: readonly EntryLink[]
  readonly applied: readonly Applied[]
  readonly alongside: readonly StoreWrite[]
  readonly answers: readonly (() => void)[]
  /** What the batch had no room for. */
  readonly rest: readonly Pending[]
}

const BODY_BYTES_MAX = LIMITS.entryBytesMax - ENTRY_OVERHEAD_BYTES

/**
 * Applies a batch to a fork, leaving out what is refused.
 *
 * Why refusals are answered with the batch: one may rest on an entry of the same batch, which is not durable yet.
 *
 * @param countMax  entries that the draft may have
 */
export function draftOf(state: LogState, batch: readonly Pending[], nowMs: bigint, countMax: number): Draft {
  const fork = forkState(state)
  const [entries, links, applied]: [Uint8Array[], EntryLink[], Applied[]] = [[], [], []]
  const [alongside, answers]: [StoreWrite[], (() => void)[]] = [[], []]
  let tried = 0
  for (const pending of batch) {
    if (entries.length === countMax) break
    tried += 1
    try {
      // An entry whose own rows cannot be made must not be proposed: it is tried on a fork of its own.
      const attempt = pending.alongside === undefined ? fork : forkState(fork)
      const { built, result } = applyPending(attempt, pending, nowMs)
      const rows = result.status === 'applied' ? (pending.alongside?.(result) ?? []) : []
      answers.push(() => pending.resolve(result))
      if (result.status === 'refused' || built === undefined) continue
      if (attempt !== fork) mergeState(fork, attempt)
      entries.push(built.bytes)
      links.push(linkOf(built))
      applied.push(result)
      alongside.push(...rows)
    } catch (error) {
      answers.push(() => pending.reject(error))
    }
  }
  return { fork, entries, links, applied, alongside, answers, rest: batch.slice(tried) }
}

/** Applies the entry that would come next to the state that is given. */
export function applyPending(
  state: LogState,
  { kind, body }: Pick<Pending, 'kind' | 'body'>,
  nowMs: bigint,
): { built?: BuiltEntry; result: Applied | Refused } {
  if (body.length > BODY_BYTES_MAX) return { result: refuse('entry_too_large') }
  const built = buildEntry(state, kind, body, nowMs)
  return { built, result: applyBuilt(state, built) }
}

function linkOf({ entry, hash }: BuiltEntry): EntryLink {
  return { index: entry.index, previous: digestBytes(entry.previous), hash: digestBytes(hash) }
}
