/** Anti-entropy: two nodes compare 256 buckets, then the versions in those that differ, then send what the other lacks. */
import type { PeerId } from '../ids.ts'
import { newer, type RecordVersion } from '../roster/record.ts'
import type { Accusation, Gossip } from './rumours.ts'
import type { MemberTable } from './table.ts'
import { BUCKET_COUNT, type Word } from './word.ts'

export type Version = RecordVersion & {
  readonly peer: PeerId
  /** Dead or left for whoever says so. */
  readonly isGone: boolean
}

/** What one node does after it has seen the other's versions. */
export type Exchange<W extends Word> = {
  /** Newer there, or unknown here. */
  readonly wanted: readonly PeerId[]
  readonly told: Gossip<W>
  /** The other holds them to be gone: claims of the other's. */
  readonly heard: readonly Accusation[]
}

export const DIGEST_BYTES = 8 * BUCKET_COUNT

/** Big-endian halves, bucket after bucket. */
export function digestOfTable(buckets: Uint32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(DIGEST_BYTES))
  for (const [place, half] of buckets.entries()) view.setUint32(4 * place, half)
  return new Uint8Array(view.buffer)
}

/** @param theirs  DIGEST_BYTES bytes */
export function differing(mine: Uint32Array, theirs: Uint8Array): readonly number[] {
  const view = new DataView(theirs.buffer, theirs.byteOffset, theirs.byteLength)
  const found: number[] = []
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket += 1) {
    const [hi, lo] = [mine[2 * bucket], mine[2 * bucket + 1]]
    if (hi !== view.getUint32(8 * bucket) || lo !== view.getUint32(8 * bucket + 4)) found.push(bucket)
  }
  return found
}

/** Everybody known in these buckets, the gone too. */
export function versionsIn<W extends Word>(table: MemberTable<W>, buckets: readonly number[]): readonly Version[] {
  const isAsked = new Set(buckets)
  const versions: Version[] = []
  for (const { word, state } of table.entries()) {
    const { peer, bucket, incarnation, sequence } = word
    if (isAsked.has(bucket))
      versions.push({ peer, incarnation, sequence, isGone: state === 'dead' || state === 'left' })
  }
  return versions
}

/** Compares what another node holds in these buckets with what this one does. */
export function compare<W extends Word>(
  table: MemberTable<W>,
  self: PeerId,
  other: PeerId,
  buckets: readonly number[],
  theirs: readonly Version[],
): Exchange<W> {
  const [wanted, words, said, heard]: [PeerId[], W[], Accusation[], Accusation[]] = [[], [], [], []]
  const isTheirs = new Set<PeerId>()
  for (const version of theirs) {
    const { peer, incarnation, isGone } = version
    isTheirs.add(peer)
    const mine = table.get(peer)
    // Who is gone there and was never known here need not be known at all.
    if (mine === undefined ? !isGone : newer(version, mine.word)) wanted.push(peer)
    else if (mine === undefined) continue
    else if (newer(mine.word, version)) words.push(mine.word)
    else if (mine.state === 'dead' && !isGone) said.push({ accused: peer, incarnation, accuser: self })
    if (isGone && mine?.word.incarnation === incarnation) heard.push({ accused: peer, incarnation, accuser: other })
  }
  const isDifferent = new Set(buckets)
  for (const { word } of table.entries())
    if (isDifferent.has(word.bucket) && table.isThere(word.peer) && !isTheirs.has(word.peer)) words.push(word)
  return { wanted, told: { words, accusations: said }, heard }
}

/** As many of the words as fit. */
export function within<W extends Word>(words: readonly W[], bytesMax: number): readonly W[] {
  let room = bytesMax
  return words.filter(({ byteCount }) => {
    room -= byteCount
    return room >= 0
  })
}
