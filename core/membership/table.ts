/** Everybody that one node knows of, in what state, and the digest of those that are there. */
import type { PeerId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import type { Chance } from './chance.ts'
import { BUCKET_COUNT, type Word } from './word.ts'

export type MemberState = 'alive' | 'suspect' | 'dead' | 'left'

export type Entry<W extends Word> = {
  word: W
  state: MemberState
  sinceMs: number
  /** Of the last direct probe. */
  rttMs: number | null
}

const isThere = (state: MemberState): boolean => state === 'alive' || state === 'suspect'

export class MemberTable<W extends Word> {
  /** Two halves of each bucket's hash: the exclusive or of all that are there. */
  readonly buckets = new Uint32Array(2 * BUCKET_COUNT)
  readonly #entries = new Map<PeerId, Entry<W>>()
  /** A shuffled round of probes; who is not there is passed over. */
  readonly #round: PeerId[] = []
  readonly #self: PeerId
  readonly #chance: Chance
  #at = 0
  #thereCount = 0

  constructor(self: PeerId, chance: Chance) {
    this.#self = self
    this.#chance = chance
  }

  get size(): number {
    return this.#entries.size
  }

  /** Alive or suspect, this node included. */
  get thereCount(): number {
    return this.#thereCount
  }

  get(peer: PeerId): Entry<W> | undefined {
    return this.#entries.get(peer)
  }

  isThere(peer: PeerId): boolean {
    const entry = this.#entries.get(peer)
    return entry !== undefined && isThere(entry.state)
  }

  entries(): Iterable<Entry<W>> {
    return this.#entries.values()
  }

  /** Adds a peer, or gives it another word or state. */
  put(word: W, state: MemberState, nowMs: number): void {
    const entry = this.#entries.get(word.peer)
    if (entry === undefined) {
      this.#entries.set(word.peer, { word, state, sinceMs: nowMs, rttMs: null })
      if (word.peer !== this.#self) this.#joinRound(word.peer)
      if (isThere(state)) this.#count(word, 1)
      return
    }
    if (isThere(entry.state)) this.#count(entry.word, -1)
    entry.word = word
    if (entry.state !== state) entry.sinceMs = nowMs
    entry.state = state
    if (isThere(state)) this.#count(word, 1)
  }

  /** Forgets those that are gone and match. */
  forget(matches: (entry: Entry<W>) => boolean): void {
    let forgotten = 0
    for (const [peer, entry] of this.#entries) {
      if (isThere(entry.state) || !matches(entry)) continue
      this.#entries.delete(peer)
      forgotten += 1
    }
    if (forgotten === 0) return
    const rest = this.#round.filter((peer) => this.#entries.has(peer))
    this.#round.length = 0
    this.#round.push(...rest)
    this.#at = 0
  }

  /** The next peer to probe: everybody once before anybody twice. */
  next(): PeerId | undefined {
    for (let tried = 0; tried < this.#round.length; tried += 1) {
      if (this.#at === 0) this.#chance.shuffle(this.#round)
      const peer = this.#round[this.#at]
      this.#at = (this.#at + 1) % this.#round.length
      if (peer !== undefined && this.isThere(peer)) return peer
    }
    return undefined
  }

  /** Up to `count` different peers that match, this node never among them. */
  pick(count: number, matches: (entry: Entry<W>) => boolean): readonly PeerId[] {
    const picked: PeerId[] = []
    const length = this.#round.length
    // Some drawn at random; when chance does not find them, whoever comes next.
    for (let tried = 0; tried < 4 * count && length > 0 && picked.length < count; tried += 1)
      this.#pickAt(this.#chance.below(length), picked, matches)
    const start = length > 0 ? this.#chance.below(length) : 0
    for (let step = 0; step < length && picked.length < count; step += 1)
      this.#pickAt((start + step) % length, picked, matches)
    return picked
  }

  #pickAt(place: number, picked: PeerId[], matches: (entry: Entry<W>) => boolean): void {
    const peer = this.#round[place]
    const entry = peer === undefined ? undefined : this.#entries.get(peer)
    if (peer !== undefined && entry !== undefined && !picked.includes(peer) && matches(entry)) picked.push(peer)
  }

  #joinRound(peer: PeerId): void {
    const round = this.#round
    const place = this.#chance.below(round.length + 1)
    const moved = round[place]
    round[place] = peer
    if (moved !== undefined) round.push(moved)
  }

  #count({ bucket, hi, lo }: Word, by: 1 | -1): void {
    const { buckets } = this
    const [oldHi, oldLo] = [buckets[2 * bucket], buckets[2 * bucket + 1]]
    invariant(oldHi !== undefined && oldLo !== undefined, 'a bucket is one of 256')
    buckets[2 * bucket] = oldHi ^ hi
    buckets[2 * bucket + 1] = oldLo ^ lo
    this.#thereCount += by
  }
}
