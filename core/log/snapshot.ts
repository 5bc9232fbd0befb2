/**
 * The whole state at one entry as bytes that are the same on every node: pieces of rows in order, and a manifest that names them.
 * The manifest's digest is what validators certify, so a newcomer trusts no peer that hands it the pieces.
 */

import { domainHash } from '#core/hash'
import { type BodyOf, bytesMax, code, defineBody, digest, list, record, text, u64 } from '../codec/schema.ts'
import { type Digest, digestOf, type SwarmId } from '../ids.ts'
import { accept, reject, type Validation } from '../validation.ts'

/** In the order of a snapshot; the place is part of the bytes. */
export const SNAPSHOT_TABLES = [
  'account',
  'loggedJob',
  'nonce',
  'idempotency',
  'invite',
  'evidence',
  'peer',
  'epoch',
  'policy',
] as const
export type SnapshotTable = (typeof SNAPSHOT_TABLES)[number]
export type SnapshotRow = { readonly table: SnapshotTable; readonly key: string; readonly bytes: Uint8Array }

const KEY_BYTES_MAX = 320
const ROW_BYTES_MAX = 8_192
const PIECE_ROWS_MAX = 2_048
/** A piece is cut before it has more than this of keys and rows. */
const PIECE_CONTENT_BYTES_MAX = 196_608
const ROW_OVERHEAD_BYTES = 12
const PIECE_BYTES_MAX = PIECE_CONTENT_BYTES_MAX + 64

/** 4,096 pieces are 768 MiB of state. */
const PIECE_COUNT_MAX = 4_096

export const pieceCodec = defineBody(
  'snapshot-piece',
  {
    rows: list(
      record({ table: code(SNAPSHOT_TABLES), key: text(KEY_BYTES_MAX), bytes: bytesMax(ROW_BYTES_MAX) }),
      PIECE_ROWS_MAX,
    ),
  },
  PIECE_BYTES_MAX,
)

export const manifestCodec = defineBody(
  'snapshot-manifest',
  {
    /** The state after the entry with this index. */
    index: u64(),
    /** Everything of the state that is not a row. */
    scalars: bytesMax(4_096),
    /** domainHash('snapshot-piece', bytes), in order. */
    pieces: list(digest(), PIECE_COUNT_MAX),
  },
  PIECE_COUNT_MAX * 34 + 4_224,
)
export type Manifest = BodyOf<typeof manifestCodec>

/** Cuts rows into pieces. @param rows  by table in the order of SNAPSHOT_TABLES, in each by key */
export function* piecesOf(rows: Iterable<SnapshotRow>): Generator<Uint8Array> {
  let piece: SnapshotRow[] = []
  let contentBytes = 0
  for (const row of rows) {
    const rowBytes = row.key.length * 3 + row.bytes.length + ROW_OVERHEAD_BYTES
    if (piece.length === PIECE_ROWS_MAX || contentBytes + rowBytes > PIECE_CONTENT_BYTES_MAX) {
      yield pieceCodec.encode({ rows: piece })
      piece = []
      contentBytes = 0
    }
    piece.push(row)
    contentBytes += rowBytes
  }
  if (piece.length > 0) yield pieceCodec.encode({ rows: piece })
}

export function pieceDigest(bytes: Uint8Array): Digest {
  return digestOf(domainHash(pieceCodec.type, bytes))
}

/** What validators certify. */
export function snapshotDigest(swarmId: SwarmId, manifest: Uint8Array): Digest {
  return manifestCodec.digest(swarmId, manifest)
}

/** Reads a piece that the manifest names. */
export function openPiece(manifest: Manifest, place: number, bytes: Uint8Array): Validation<readonly SnapshotRow[]> {
  if (manifest.pieces[place] !== pieceDigest(bytes)) return reject('body_malformed', 'piece')
  const decoded = pieceCodec.decode(bytes)
  return decoded.action === 'accept' ? accept(decoded.value.rows) : decoded
}

export const SNAPSHOT_LIMITS = { pieceCountMax: PIECE_COUNT_MAX, setChangeCountMax: 128 } as const
