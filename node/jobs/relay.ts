/**
 * What a client hears of its job's replicas: one of them, and when that is lost another one that says the same, from where the first
 * stopped. The client cannot tell the difference; the segments say who was heard.
 */
import { FabricError } from '../../core/errors.ts'
import type { PeerId } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import type { TokenDetail } from '../../models/backend.ts'
import type { TokenPart } from './reader.ts'

export type Segment = { readonly worker: PeerId; readonly tokenStart: number; readonly tokenCount: number }

/** What has been delivered, for a worker that is to go on from there. */
export type Carry = { readonly ids: readonly number[]; readonly text: string }

type Heard = {
  readonly ids: number[]
  text: string
  /** Likelihoods by place in `ids`. */
  readonly details: (TokenDetail | undefined)[]
  /** How much of it is known to be what was delivered. */
  same: { ids: number; text: number }
  /** It says something else than what the client has read. */
  strays: boolean
  /** It says no more. */
  ended: boolean
}

export class Relay {
  /** Where the last delivered part with tokens begins, so that it can be taken back from what the next worker is given. */
  #lastPart = { ids: 0, text: 0 }
  readonly #ids: number[] = []
  #text = ''
  #heard = new Map<number, Heard>()
  readonly #lost = new Set<number>()
  #streamed: number | undefined
  /** Whose seed what was delivered is drawn from: without `alike` nobody else can go on with it. */
  #voice: number | undefined
  readonly #alike: boolean
  readonly #segments: Segment[] = []

  /**
   * @param alike     replicas are expected to say the same
   * @param streamed  the replica that the journal names: after a restart no other may be heard, since no other will be paid for
   */
  constructor(alike: boolean, streamed?: number) {
    this.#alike = alike
    this.#streamed = streamed
    this.#voice = streamed
  }

  get streamed(): number | undefined {
    return this.#streamed
  }

  get segments(): readonly Segment[] {
    return this.#segments
  }

  /**
   * Takes in what a replica says.
   *
   * @returns what the client hears of it, if anything
   * @throws  FabricError CF_MESH_REFUSED when the replica that is heard says something else than what was delivered
   */
  hear(replica: number, worker: PeerId, part: TokenPart): TokenPart | undefined {
    const heard = this.#of(replica)
    const isNext = this.#isAt(heard.same) && this.#isAt({ ids: heard.ids.length, text: heard.text.length })
    take(heard, part)
    if (!this.#mayBeHeard(replica)) return undefined
    const out = isNext ? part : this.#beyond(heard)
    if (heard.strays) throw strayed()
    if (out === undefined) return undefined
    this.#streamed = replica
    this.#voice = replica
    this.#deliver(worker, heard, out)
    return out
  }

  /**
   * A replica has said all.
   *
   * @returns whether it is the one that the client has heard
   * @throws  FabricError CF_MESH_REFUSED when that one has ended before what was delivered
   */
  finish(replica: number, worker: PeerId): boolean {
    const heard = this.#of(replica)
    heard.ended = true
    // In a later attempt it may have had nothing to add.
    if (!this.#mayBeHeard(replica)) return false
    if (this.#streamed === undefined && this.#isBegun) this.#beyond(heard)
    const isWhole = !heard.strays && this.#isAt({ ids: heard.ids.length, text: heard.text.length })
    if (this.#streamed === undefined && this.#isBegun && isWhole) this.#streamed = replica
    if (this.#streamed !== replica) return false
    if (!isWhole && this.#isBegun) throw strayed()
    if (this.#isBegun && this.#segments.at(-1)?.worker !== worker) this.#segment(worker, 0)
    return true
  }

  /**
   * A replica is lost. When it was the one that is heard, the furthest of those that say the same takes its place.
   *
   * @param workers  of all replicas
   * @returns        nothing when the client was not hearing it or has read nothing yet, `stranded` when nobody goes on from what it read
   */
  lose(
    replica: number,
    workers: readonly PeerId[],
  ): { readonly heir: number; readonly part: TokenPart | undefined } | 'stranded' | undefined {
    this.#lost.add(replica)
    if (this.#streamed !== replica) return undefined
    this.#streamed = undefined
    let best: { readonly place: number; readonly worker: PeerId; readonly heard: Heard } | undefined
    for (const [place, worker] of workers.entries()) {
      const heard = this.#of(place)
      if (this.#lost.has(place) || !this.#mayBeHeard(place) || !this.#goesOn(heard)) continue
      if (best === undefined || heard.ids.length > best.heard.ids.length) best = { place, worker, heard }
    }
    // Before anything was read the place is left to whoever speaks first.
    if (best === undefined) return this.#isBegun ? 'stranded' : undefined
    if (!this.#isBegun && best.heard.ids.length === 0) return undefined
    this.#streamed = best.place
    this.#voice = best.place
    const part = this.#beyond(best.heard)
    if (part !== undefined) this.#deliver(best.worker, best.heard, part)
    return { heir: best.place, part }
  }

  /** Another attempt begins: its replicas have said nothing yet. */
  renew(): void {
    this.#heard = new Map()
    this.#lost.clear()
    this.#streamed = undefined
  }

  /**
   * What the next worker of a replica is given: nothing when what was delivered is from another seed than its own.
   *
   * @param isWhole  whether nothing can follow: then it says the end again, and with it how the output ended
   */
  carry(replica: number, isWhole: (ids: readonly number[], text: string) => boolean): Carry | undefined {
    if (!this.#mayBeHeard(replica)) return undefined
    if (!isWhole(this.#ids, this.#text)) return { ids: this.#ids.slice(), text: this.#text }
    const { ids, text } = this.#lastPart
    return { ids: this.#ids.slice(0, ids), text: this.#text.slice(0, text) }
  }

  #mayBeHeard(replica: number): boolean {
    if (this.#streamed !== undefined) return this.#streamed === replica
    return this.#alike || !this.#isBegun || this.#voice === replica
  }

  #isAt({ ids, text }: Heard['same']): boolean {
    return ids === this.#ids.length && text === this.#text.length
  }

  get #isBegun(): boolean {
    return this.#ids.length > 0 || this.#text !== ''
  }

  #of(replica: number): Heard {
    const known = this.#heard.get(replica)
    if (known !== undefined) return known
    const heard: Heard = { ids: [], text: '', details: [], same: { ids: 0, text: 0 }, strays: false, ended: false }
    this.#heard.set(replica, heard)
    return heard
  }

  /** It says what was delivered, or will. */
  #goesOn(heard: Heard): boolean {
    this.#beyond(heard)
    const isBehind = heard.ids.length < this.#ids.length || heard.text.length < this.#text.length
    return !heard.strays && !(heard.ended && isBehind)
  }

  /** What the replica has said beyond what was delivered; notes when it strays from that. */
  #beyond(heard: Heard): TokenPart | undefined {
    const ids = Math.min(heard.ids.length, this.#ids.length)
    const text = Math.min(heard.text.length, this.#text.length)
    const { same } = heard
    for (let place = same.ids; place < ids; place += 1) if (heard.ids[place] !== this.#ids[place]) heard.strays = true
    if (heard.text.slice(same.text, text) !== this.#text.slice(same.text, text)) heard.strays = true
    heard.same = { ids, text }
    if (heard.strays || ids < this.#ids.length || text < this.#text.length) return undefined
    const more = { ids: heard.ids.slice(ids), text: heard.text.slice(text) }
    if (more.ids.length === 0 && more.text === '') return undefined
    const details = heard.details.slice(ids).filter((detail) => detail !== undefined)
    return { ...more, ...(more.ids.length > 0 && details.length === more.ids.length ? { details } : {}) }
  }

  #deliver(worker: PeerId, heard: Heard, { ids, text }: TokenPart): void {
    this.#segment(worker, ids.length)
    if (ids.length > 0) this.#lastPart = { ids: this.#ids.length, text: this.#text.length }
    this.#ids.push(...ids)
    this.#text += text
    heard.same = { ids: this.#ids.length, text: this.#text.length }
  }

  #segment(worker: PeerId, tokenCount: number): void {
    const last = this.#segments.at(-1)
    if (last?.worker === worker)
      this.#segments[this.#segments.length - 1] = { ...last, tokenCount: last.tokenCount + tokenCount }
    else if (this.#segments.length < LIMITS.segmentCountMax)
      this.#segments.push({ worker, tokenStart: this.#ids.length, tokenCount })
  }
}

function take(heard: Heard, { ids, text, details }: TokenPart): void {
  const start = heard.ids.length
  heard.ids.push(...ids)
  heard.text += text
  for (const [place, detail] of (details ?? []).entries()) heard.details[start + place] = detail
}

function strayed(): FabricError {
  return new FabricError('CF_MESH_REFUSED', { reason: 'prefix_mismatch' })
}
