/** Starting from a snapshot instead of the first entry: its rows become this node's, all or none of them. */
import { FabricError } from '../../core/errors.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import { jobRow, restoreScalars, scalarsRow } from '../../core/log/rows.ts'
import { type Manifest, manifestCodec, openPiece, type SnapshotRow, snapshotDigest } from '../../core/log/snapshot.ts'
import { checkSnapshotProof, type SnapshotProof } from '../../core/log/snapshot-proof.ts'
import { createState, type LogState } from '../../core/log/state.ts'
import type { Validation } from '../../core/validation.ts'
import type { LedgerRows, Store } from '../runtime/ports.ts'
import { setRow } from './projection.ts'
import type { Snapshot, SnapshotShelf } from './snapshot-shelf.ts'

export type FetchedSnapshot = Snapshot & { readonly proof: SnapshotProof }
/** Where a ledger finds snapshots: its own, and those of validators. */
export type SnapshotPorts = {
  readonly shelf: SnapshotShelf
  readonly fetch: () => Promise<FetchedSnapshot>
}

/**
 * Checks a snapshot and makes it this node's state.
 *
 * @throws CF_STORE_FORKED when its certificate does not follow from the genesis or its pieces not from the certificate
 */
export async function installSnapshot(
  genesis: Genesis,
  store: Store,
  { shelf, fetch }: SnapshotPorts,
  above: bigint,
): Promise<void> {
  const fetched = await fetch()
  const { manifest, rows } = openSnapshot(genesis, fetched)
  if (manifest.index <= above) throw new FabricError('CF_STORE_FAILED', { reason: 'snapshot_too_old' })
  await store.commit([{ table: 'ledger', rows: ledgerRowsOf(rows, manifest) }])
  await shelf.keep(manifest.index, fetched)
  for (const [place, body] of fetched.proof.setChanges.entries()) await shelf.changeSet(BigInt(place), body)
  await shelf.certify(fetched.proof.entry)
}

/** @throws CF_STORE_FORKED */
export function openSnapshot(
  genesis: Genesis,
  fetched: FetchedSnapshot,
): { readonly manifest: Manifest; readonly rows: readonly SnapshotRow[] } {
  const proven = sound(checkSnapshotProof(genesis, fetched.proof))
  const manifest = sound(manifestCodec.decode(fetched.manifest))
  const digest = snapshotDigest(genesis.swarmId, fetched.manifest)
  if (digest !== proven.digest || manifest.index !== proven.index || manifest.pieces.length !== fetched.pieces.length)
    throw new FabricError('CF_STORE_FORKED', { reason: 'snapshot_mismatch' })
  return { manifest, rows: fetched.pieces.flatMap((bytes, place) => sound(openPiece(manifest, place, bytes))) }
}

/** The state that the newest own snapshot gives: where an audit begins when the log before it is gone. */
export function snapshotState(genesis: Genesis, shelf: SnapshotShelf): LogState | undefined {
  const kept = shelf.newest()
  if (kept === undefined) return undefined
  const manifest = sound(manifestCodec.decode(kept.manifest))
  const pieces = manifest.pieces.map((_, place) => shelf.piece(kept.index, place) ?? new Uint8Array())
  const state = createState(genesis)
  for (const row of openSnapshot(genesis, { ...kept, pieces }).rows) setRow(state, row)
  restoreScalars(state, manifest.scalars)
  return state
}

function ledgerRowsOf(rows: readonly SnapshotRow[], { scalars }: Manifest): LedgerRows {
  const [accounts, loggedJobs, keyed]: [
    LedgerRows['accounts'][number][],
    LedgerRows['loggedJobs'][number][],
    LedgerRows['keyed'][number][],
  ] = [[], [], []]
  for (const { table, key, bytes } of rows) {
    if (table === 'account') accounts.push({ id: key, bytes })
    else if (table === 'loggedJob') {
      const { phase, deadlineMs } = jobRow.decode(bytes)
      loggedJobs.push({ id: key, deadlineMs: phase === 'settled' ? null : Number(deadlineMs), bytes })
    } else keyed.push({ table, key, value: bytes })
  }
  // Read once here: certified scalars that do not decode are a bug, found before anything is written.
  return { accounts, loggedJobs, keyed, transfers: [], head: scalarsRow.encode(scalarsRow.decode(scalars)) }
}

function sound<T>(validation: Validation<T>): T {
  if (validation.action === 'accept') return validation.value
  throw new FabricError('CF_STORE_FORKED', { reason: 'snapshot_unsound' })
}
