/** A peer's word about itself as membership handles it: verified once, then passed on as it came. */
import { domainHash } from '#core/hash'
import { u64be } from '../codec/bytes.ts'
import { openAs, sealAs } from '../identity/envelope.ts'
import type { KeyPair } from '../identity/keys.ts'
import { keyOf, type PeerId, type SwarmId } from '../ids.ts'
import { type PeerRecord, peerRecordCodec, type RecordVersion } from '../roster/record.ts'
import { accept, reject, type Validation } from '../validation.ts'

/** What the machines need of a record; a simulation has nothing more. */
export type Word = RecordVersion & {
  readonly peer: PeerId
  /** Which part of the digest it counts in, 0..255. */
  readonly bucket: number
  /** 64 bits of its hash, in halves. */
  readonly hi: number
  readonly lo: number
  /** What it takes of a message. */
  readonly byteCount: number
}

export type SealedWord = Word & { readonly record: PeerRecord; readonly envelope: Uint8Array }

export const BUCKET_COUNT = 256

/** Gives a version its place in the digest. */
export function wordOf(peer: PeerId, { incarnation, sequence }: RecordVersion, byteCount: number): Word {
  const key = keyOf(peer)
  const hash = domainHash('membership-digest', key, u64be(incarnation), u64be(sequence))
  const view = new DataView(hash.buffer, hash.byteOffset)
  return {
    peer,
    incarnation,
    sequence,
    byteCount,
    bucket: domainHash('membership-bucket', key)[0] ?? 0,
    hi: view.getUint32(0),
    lo: view.getUint32(4),
  }
}

export function sealWord(record: PeerRecord, swarmId: SwarmId, key: KeyPair): SealedWord {
  const envelope = sealAs(peerRecordCodec, record, swarmId, key)
  return { ...wordOf(key.peer, record, envelope.length), record, envelope }
}

export type Freshness = { readonly wallMs: number; readonly recordTtlMs: number; readonly recordAheadMs: number }

/**
 * Says whether a version may be heard at all.
 *
 * Why an incarnation tells the age: it is the time at which its peer began it, and a peer begins a new one well before the old one
 * is refused everywhere.
 */
export function freshness(
  { incarnation }: RecordVersion,
  { wallMs, recordTtlMs, recordAheadMs }: Freshness,
): 'fresh' | 'old' | 'ahead' {
  if (incarnation > BigInt(Math.floor(wallMs + recordAheadMs))) return 'ahead'
  return incarnation < BigInt(Math.max(0, Math.floor(wallMs - recordTtlMs))) ? 'old' : 'fresh'
}

/** Opens a sealed record that was announced under this peer and version: what it was announced as is what it has to be. */
export function openWord(
  claim: RecordVersion & { readonly peer: PeerId },
  envelope: Uint8Array,
  swarmId: SwarmId,
): Validation<SealedWord> {
  const opened = openAs(peerRecordCodec, envelope, swarmId)
  if (opened.action !== 'accept') return opened
  const { signer, value: record } = opened.value
  if (signer !== claim.peer) return reject('signer_mismatch')
  if (record.incarnation !== claim.incarnation || record.sequence !== claim.sequence) return reject('body_malformed')
  return accept({ ...wordOf(signer, record, envelope.length), record, envelope: opened.value.envelope })
}
