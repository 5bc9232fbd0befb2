/**
 * Gossip beyond the size at which everybody knows everybody: each node knows a few others, trades some of them as it goes (in the
 * manner of Cyclon, Voulgaris, Gavidia and van Steen 2005), and spreads news by push and pull.
 */
import type { Chance } from './chance.ts'

export type ViewOptions = {
  /** Peers that a node knows. */
  readonly viewMax: number
  /** Peers that it talks to in a round. */
  readonly fanout: number
  /** Peers that it offers in the first talk of a round. */
  readonly sampleCount: number
  /** Talks in a row without an answer after which it forgets a peer. */
  readonly failureMax: number
  /** Rounds in which news is pushed outright; after that it is only named. */
  readonly pushRounds: number
  /** Rounds after which it is not named any more. */
  readonly keepRounds: number
  readonly newsMax: number
}

export const PARTIAL_VIEW: ViewOptions = {
  viewMax: 30,
  fanout: 3,
  sampleCount: 8,
  failureMax: 4,
  pushRounds: 6,
  keepRounds: 30,
  newsMax: 256,
}

export type News = { readonly id: number; readonly byteCount: number }

export type Talk<P> = {
  readonly to: P
  readonly pushed: readonly News[]
  /** What this node has besides: what is missing in it is sent back. */
  readonly named: readonly number[]
  readonly sample: readonly P[]
}
export type TalkAnswer<P> = {
  /** What the one who asked lacks. */
  readonly pulled: readonly News[]
  /** What the one who answers lacks. */
  readonly lacking: readonly number[]
  readonly sample: readonly P[]
}

type Known = { readonly news: News; age: number }

export class ViewNode<P> {
  readonly self: P
  readonly view: P[] = []
  readonly #options: ViewOptions
  readonly #chance: Chance
  readonly #failures = new Map<P, number>()
  readonly #known = new Map<number, Known>()

  constructor(self: P, options: ViewOptions, chance: Chance) {
    this.self = self
    this.#options = options
    this.#chance = chance
  }

  has(id: number): boolean {
    return this.#known.has(id)
  }

  /** Learns something; what comes first goes first when there is too much. */
  learn(news: readonly News[]): void {
    for (const item of news) {
      if (this.#known.has(item.id)) continue
      const [oldest] = this.#known.keys()
      if (this.#known.size >= this.#options.newsMax && oldest !== undefined) this.#known.delete(oldest)
      this.#known.set(item.id, { news: item, age: 0 })
    }
  }

  /** Begins a round. @returns what to say, to whom */
  round(): readonly Talk<P>[] {
    for (const [id, known] of this.#known) {
      known.age += 1
      if (known.age > this.#options.keepRounds) this.#known.delete(id)
    }
    return this.#pick(this.#options.fanout).map((to, place) => this.#talk(to, place === 0))
  }

  /** Hears a talk. */
  answer(from: P, { pushed, named, sample }: Talk<P>): TalkAnswer<P> {
    const theirs = new Set([...named, ...pushed.map(({ id }) => id)])
    const pulled = [...this.#known.values()].map(({ news }) => news).filter(({ id }) => !theirs.has(id))
    const lacking = named.filter((id) => !this.#known.has(id))
    const back = sample.length === 0 ? [] : this.#sample(from)
    this.learn(pushed)
    this.#meet(sample, back)
    return { pulled, lacking, sample: back }
  }

  /** Hears the answer to what it said. @returns what the other lacked */
  answered(talk: Talk<P>, { pulled, lacking, sample }: TalkAnswer<P>): readonly News[] {
    this.#failures.delete(talk.to)
    this.learn(pulled)
    this.#meet(sample, talk.sample)
    return lacking.flatMap((id) => this.#known.get(id)?.news ?? [])
  }

  unanswered(peer: P): void {
    const failures = (this.#failures.get(peer) ?? 0) + 1
    this.#failures.set(peer, failures)
    if (failures >= this.#options.failureMax) this.forget(peer)
  }

  meet(peer: P): void {
    this.#meet([peer], [])
  }

  forget(peer: P): void {
    this.#failures.delete(peer)
    const place = this.view.indexOf(peer)
    if (place >= 0) this.view.splice(place, 1)
  }

  #talk(to: P, withSample: boolean): Talk<P> {
    const known = [...this.#known.values()]
    const isPushed = ({ age }: Known): boolean => age <= this.#options.pushRounds
    return {
      to,
      pushed: known.filter(isPushed).map(({ news }) => news),
      named: known.filter((item) => !isPushed(item)).map(({ news }) => news.id),
      sample: withSample ? [this.self, ...this.#sample(to)] : [],
    }
  }

  #sample(butNot: P): readonly P[] {
    return this.#pick(this.#options.sampleCount).filter((peer) => peer !== butNot)
  }

  #pick(count: number): readonly P[] {
    const { view } = this
    const picked: P[] = []
    for (let place = 0; place < Math.min(count, view.length); place += 1) {
      const other = place + this.#chance.below(view.length - place)
      const [mine, theirs] = [view[place], view[other]]
      if (mine === undefined || theirs === undefined) break
      view[place] = theirs
      view[other] = mine
      picked.push(theirs)
    }
    return picked
  }

  /** Takes peers in: into free places, then instead of those that were given away for them. */
  #meet(offered: readonly P[], given: readonly P[]): void {
    const replaceable = given.filter((peer) => peer !== this.self)
    for (const peer of offered) {
      if (peer === this.self || this.view.includes(peer)) continue
      if (this.view.length >= this.#options.viewMax) {
        const gone = replaceable.pop()
        if (gone === undefined) return
        this.forget(gone)
      }
      this.view.push(peer)
    }
  }
}
