/** Snapshots of the state on disk: the newest ones, each with the certificate that makes it the swarm's once there is one. */
import type { Digest } from '../../core/ids.ts'
import { snapshotEntryCodec } from '../../core/log/bodies-certified.ts'
import { scalarsRow } from '../../core/log/rows.ts'
import {
  manifestCodec,
  pieceDigest,
  piecesOf,
  SNAPSHOT_TABLES,
  type SnapshotRow,
  snapshotDigest,
} from '../../core/log/snapshot.ts'
import type { SnapshotProof } from '../../core/log/snapshot-proof.ts'
import type { LogState } from '../../core/log/state.ts'
import type { Store } from '../runtime/ports.ts'
import { bigintOf, bytesOf, type Database } from './database.ts'

export type Snapshot = { readonly manifest: Uint8Array; readonly pieces: readonly Uint8Array[] }
export type TakenSnapshot = Snapshot & { readonly index: bigint; readonly digest: Digest }
export type CertifiedSnapshot = {
  readonly index: bigint
  readonly manifest: Uint8Array
  readonly proof: SnapshotProof
}

export interface SnapshotShelf {
  keep(index: bigint, snapshot: Snapshot): Promise<void>
  /** Keeps the body of the entry that vouches for a snapshot; older ones make room. */
  certify(entry: Uint8Array): Promise<void>
  /** Keeps the body of an entry that changed the validator set: newcomers walk through them. */
  changeSet(index: bigint, body: Uint8Array): Promise<void>
  manifest(index: bigint): Uint8Array | undefined
  piece(index: bigint, place: number): Uint8Array | undefined
  /** The newest that is certified. */
  newest(): CertifiedSnapshot | undefined
}

/** Certified snapshots that are kept: one that is being fetched outlives the next one. */
const SNAPSHOTS_KEPT = 2

export function createSnapshotShelf(database: Database): SnapshotShelf {
  const bytesAt = (sql: string, column: string, ...keys: readonly (bigint | number)[]): Uint8Array | undefined => {
    const row = database.get(sql, ...keys)
    return row === undefined ? undefined : bytesOf(row, column)
  }
  return {
    keep: (index, { manifest, pieces }) =>
      database.enqueue(() => {
        database.run(SAVE, index, manifest, new Uint8Array())
        for (const [place, bytes] of pieces.entries()) database.run(SAVE_PIECE, index, place, bytes)
      }),
    async certify(entry) {
      const decoded = snapshotEntryCodec.decode(entry)
      if (decoded.action !== 'accept') return
      const { index } = decoded.value
      await database.enqueue(() => {
        database.run('UPDATE snapshot SET certificate = ? WHERE entry_index = ?', entry, index)
        database.run(FORGET, SNAPSHOTS_KEPT)
        database.run('DELETE FROM snapshot_piece WHERE entry_index NOT IN (SELECT entry_index FROM snapshot)')
      })
    },
    changeSet: (index, body) =>
      database.enqueue(() => {
        database.run('INSERT OR REPLACE INTO set_change (entry_index, body) VALUES (?, ?)', index, body)
      }),
    manifest: (index) => bytesAt('SELECT manifest FROM snapshot WHERE entry_index = ?', 'manifest', index),
    piece: (index, place) =>
      bytesAt('SELECT bytes FROM snapshot_piece WHERE entry_index = ? AND place = ?', 'bytes', index, place),
    newest() {
      const row = database.get(NEWEST)
      if (row === undefined) return undefined
      const index = bigintOf(row, 'entry_index')
      const changes = database.all('SELECT body FROM set_change WHERE entry_index <= ? ORDER BY entry_index', index)
      const proof = { entry: bytesOf(row, 'certificate'), setChanges: changes.map((change) => bytesOf(change, 'body')) }
      return { index, manifest: bytesOf(row, 'manifest'), proof }
    },
  }
}

const SAVE = `INSERT INTO snapshot (entry_index, manifest, certificate) VALUES (?, ?, ?)
  ON CONFLICT (entry_index) DO UPDATE SET manifest = excluded.manifest`
const SAVE_PIECE = `INSERT INTO snapshot_piece (entry_index, place, bytes) VALUES (?, ?, ?)
  ON CONFLICT (entry_index, place) DO UPDATE SET bytes = excluded.bytes`
const NEWEST = `SELECT entry_index, manifest, certificate FROM snapshot
  WHERE length(certificate) > 0 ORDER BY entry_index DESC LIMIT 1`
/** All below the oldest of the newest certified ones: what is not certified by then never will be. */
const FORGET = `DELETE FROM snapshot WHERE entry_index < (SELECT min(entry_index) FROM
  (SELECT entry_index FROM snapshot WHERE length(certificate) > 0 ORDER BY entry_index DESC LIMIT ?))`

/**
 * Takes the state as it is now.
 *
 * Why in one go: rows that another entry changes between two pieces would make a state that never was.
 *
 * @param store  stands at the same entry as the state
 */
export function takeSnapshot(state: LogState, store: Store): TakenSnapshot {
  const pieces = [...piecesOf(rowsIn(store))]
  const { index } = state.head
  const manifest = manifestCodec.encode({ index, scalars: scalarsRow.encode(state), pieces: pieces.map(pieceDigest) })
  return { index, manifest, pieces, digest: snapshotDigest(state.swarmId, manifest) }
}

function* rowsIn(store: Store): Generator<SnapshotRow> {
  for (const table of SNAPSHOT_TABLES) for (const { key, bytes } of store.ledgerRows(table)) yield { table, key, bytes }
}
