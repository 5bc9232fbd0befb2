/** How news spreads among very many nodes of which each knows thirty: the real view machine, round by round. */
import { Chance } from '../../../core/membership/chance.ts'
import { type News, PARTIAL_VIEW, ViewNode, type ViewOptions } from '../../../core/membership/view.ts'
import type { ViewStudy } from '../../runtime/simulation-members.ts'
import { Prng } from '../prng.ts'

export type ViewStudyOptions = {
  readonly seed: number
  readonly peers: number
  readonly lossPermille: number
  /** Of 1000 nodes, how many are dead from the beginning, in everybody's view like anybody else. */
  readonly deadPermille: number
  /** Of 1000 nodes, how many answer and take but never pass on. */
  readonly dropperPermille: number
  /** Of 1000 nodes, how many vanish in each round; as many come, each through one peer that it knows. */
  readonly churnPermille: number
  /** Rounds of trading peers before the news. */
  readonly warmRounds: number
  readonly view?: ViewOptions
}

type Place = { node: ViewNode<number>; kind: 'live' | 'dead' | 'dropper'; bytesSent: number; isNewcomer: boolean }

const MESSAGE_BYTES = 90
const ID_BYTES = 16
const PEER_BYTES = 32
const NEWS: News = { id: 1, byteCount: 420 }
const ROUND_COUNT_MAX = 60

/** Everything that arrives within a round counts from the next one on: nothing goes two ways in one round. */
class ViewWorld {
  readonly places: Place[] = []
  readonly #options: ViewStudyOptions
  readonly #prng: Prng
  readonly #view: ViewOptions

  constructor(options: ViewStudyOptions) {
    this.#options = options
    this.#view = options.view ?? PARTIAL_VIEW
    this.#prng = new Prng(options.seed)
    for (let id = 0; id < options.peers; id += 1) this.places.push(this.#place(id))
    for (const { node } of this.places) {
      while (node.view.length < Math.min(this.#view.viewMax, options.peers - 1))
        node.meet(this.#prng.below(options.peers))
    }
  }

  #place(id: number): Place {
    const { deadPermille, dropperPermille } = this.#options
    const draw = this.#prng.below(1_000)
    const kind = draw < deadPermille ? 'dead' : draw < deadPermille + dropperPermille ? 'dropper' : 'live'
    return {
      node: new ViewNode(id, this.#view, new Chance(this.#prng.bytes(4))),
      kind,
      bytesSent: 0,
      isNewcomer: false,
    }
  }

  /** Some vanish; in their places others begin, who know one peer each. */
  churn(): void {
    const { churnPermille, peers } = this.#options
    const count = Math.round((peers * churnPermille) / 1_000)
    for (let changed = 0; changed < count; changed += 1) {
      const place = this.places[this.#prng.below(peers)]
      if (place?.kind !== 'live') continue
      place.node = new ViewNode(place.node.self, this.#view, new Chance(this.#prng.bytes(4)))
      place.node.meet(this.#prng.below(peers))
      place.isNewcomer = true
    }
  }

  first(): Place | undefined {
    return this.places.find(({ kind }) => kind === 'live')
  }

  round(): void {
    const arrivals: (() => void)[] = []
    for (const place of this.places) {
      if (place.kind === 'dead') continue
      for (const talk of place.node.round()) {
        const other = this.places[talk.to]
        if (other !== undefined)
          this.#talk(place, other, place.kind === 'dropper' ? { ...talk, pushed: [] } : talk, arrivals)
      }
    }
    for (const arrive of arrivals) arrive()
  }

  #talk(from: Place, to: Place, talk: ReturnType<ViewNode<number>['round']>[number], arrivals: (() => void)[]): void {
    const { pushed, named, sample } = talk
    const isHeard =
      this.#send(from, bytesOf(pushed) + ID_BYTES * named.length + PEER_BYTES * sample.length) && to.kind !== 'dead'
    if (!isHeard) {
      arrivals.push(() => from.node.unanswered(talk.to))
      return
    }
    // What is pushed arrives with the others; the answer is of what was known when the round began.
    const answer = to.node.answer(from.node.self, {
      ...talk,
      pushed: [],
      named: [...named, ...pushed.map(({ id }) => id)],
    })
    const said = to.kind === 'dropper' ? { ...answer, pulled: [] } : answer
    const size = bytesOf(said.pulled) + ID_BYTES * said.lacking.length + PEER_BYTES * said.sample.length
    arrivals.push(() => to.node.learn(pushed))
    if (!this.#send(to, size)) {
      arrivals.push(() => from.node.unanswered(talk.to))
      return
    }
    const pushedIds = new Set(pushed.map(({ id }) => id))
    const lacking = said.lacking.filter((id) => !pushedIds.has(id))
    arrivals.push(() => {
      const sent = from.node.answered(talk, { ...said, lacking })
      if (sent.length > 0 && from.kind !== 'dropper' && this.#send(from, bytesOf(sent))) to.node.learn(sent)
    })
  }

  #send(from: Place, byteCount: number): boolean {
    from.bytesSent += MESSAGE_BYTES + byteCount
    return !this.#prng.chance(this.#options.lossPermille)
  }
}

function bytesOf(news: readonly News[]): number {
  return news.reduce((sum, { byteCount }) => sum + byteCount, 0)
}

/** One piece of news, from one node to all. */
export function studyView(options: ViewStudyOptions): ViewStudy {
  const world = new ViewWorld(options)
  for (let round = 0; round < options.warmRounds; round += 1) {
    world.churn()
    world.round()
  }
  const first = world.first()
  first?.node.learn([NEWS])
  for (const place of world.places) Object.assign(place, { bytesSent: 0, isNewcomer: false })
  const coverage: number[] = []
  for (let round = 1; round <= ROUND_COUNT_MAX; round += 1) {
    world.round()
    world.churn()
    coverage.push(coverageOf(world.places))
    if (coverage.at(-1) === 1) break
  }
  const live = world.places.filter(({ kind }) => kind !== 'dead')
  const bytes = live.reduce((sum, { bytesSent }) => sum + bytesSent, 0) / Math.max(1, live.length)
  const roundsTo = (share: number): number | null => {
    const place = coverage.findIndex((covered) => covered >= share)
    return place < 0 ? null : place + 1
  }
  return {
    coverage,
    roundsTo99: roundsTo(0.99),
    roundsTo100: roundsTo(1),
    bytesPerNodeRound: Math.round(bytes / coverage.length),
  }
}

/** Of those who are to know it: whoever was there when it began. */
function coverageOf(places: readonly Place[]): number {
  let [asked, knowing] = [0, 0]
  for (const { node, kind, isNewcomer } of places) {
    if (kind === 'dead' || isNewcomer) continue
    asked += 1
    if (node.has(NEWS.id)) knowing += 1
  }
  return asked === 0 ? 1 : knowing / asked
}
