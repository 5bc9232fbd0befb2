/** One region of full members through quiet, a change, crashes, churn and a partition: what everybody sees, when, and for how many bytes. */

import type { PeerId } from '../../../core/ids.ts'
import { LAN } from '../../../core/membership/options.ts'
import type { Entry } from '../../../core/membership/table.ts'
import type { Word } from '../../../core/membership/word.ts'
import type { DetectionStudy, PartitionStudy, RegionStudy, SpreadStudy } from '../../runtime/simulation-members.ts'
import { studyDraws } from './draw-study.ts'
import { type SwimNode, SwimWorld } from './swim-world.ts'

export type RegionStudyOptions = {
  readonly seed: number
  readonly peers: number
  readonly lossPermille: number
  readonly dropperPermille: number
  /** Of 1000 nodes, how many crash at once. */
  readonly crashPermille: number
  /** Nodes that restart, one a second. */
  readonly restarts: number
  readonly jobs: number
}

const DELAY_MS = [5, 40] as const
const RECORD_BYTES = 420
const SETTLE_MS = 5_000
const QUIET_MS = 10_000
const SPREAD_MS = 10_000
const CRASH_MS = 30_000
const RESTART_GAP_MS = 1_000
const CUT_MS = 20_000
const HEAL_MS = 60_000
/** Every node has something new to say about once in this long. */
const ANNOUNCE_EVERY_MS = 120_000
const CURVE_STEP_MS = 200

class RegionTrial {
  readonly world: SwimWorld
  falsePositives = 0
  #isCut = false
  #watch: (observer: SwimNode, entry: Entry<Word>) => void = () => {}
  readonly #options: RegionStudyOptions

  constructor(options: RegionStudyOptions) {
    this.#options = options
    const { seed, lossPermille } = options
    this.world = new SwimWorld(
      { seed, swim: LAN, lossPermille, delayMs: DELAY_MS, recordBytes: RECORD_BYTES },
      (observer, entry) => this.#saw(observer, entry),
    )
    for (let place = 0; place < options.peers; place += 1)
      this.world.add(this.world.prng.chance(options.dropperPermille) ? 'dropper' : 'honest')
    for (const node of this.world.nodes) this.world.start(node)
    this.world.acquaint()
    this.world.run(SETTLE_MS)
    this.falsePositives = 0
  }

  #saw(observer: SwimNode, entry: Entry<Word>): void {
    if (entry.state === 'dead' && !this.#isCut && this.world.node(entry.word.peer).isUp) this.falsePositives += 1
    this.#watch(observer, entry)
  }

  get up(): readonly SwimNode[] {
    return this.world.nodes.filter(({ isUp }) => isUp)
  }

  /** Bytes and messages of nodes that only watch each other and say now and then how busy they are. */
  quiet(): RegionStudy['quiet'] {
    const { world } = this
    const [bytes, messages] = [this.#bytes(), world.messages]
    const count = Math.round((world.nodes.length * QUIET_MS) / ANNOUNCE_EVERY_MS)
    for (let said = 0; said < count; said += 1) {
      world.announce(world.prng.pick(this.up))
      world.run(QUIET_MS / count)
    }
    const nodeSeconds = (world.nodes.length * QUIET_MS) / 1_000
    return {
      bytesPerNodeSecond: Math.round((this.#bytes() - bytes) / nodeSeconds),
      messagesPerNodeSecond: Math.round((10 * (world.messages - messages)) / nodeSeconds) / 10,
    }
  }

  /** How one node's new record reaches everybody. */
  spread(): SpreadStudy {
    const { world } = this
    const node = world.prng.pick(this.up.filter(({ kind }) => kind === 'honest'))
    const times: number[] = []
    let startMs = 0
    this.#watch = (_observer, { word }) => {
      if (word.peer !== node.peer) return
      if (startMs === 0) startMs = world.nowMs
      times.push(world.nowMs - startMs)
    }
    const of = this.up.length
    world.announce(node)
    world.run(SPREAD_MS, () => times.length >= of)
    this.#watch = () => {}
    return { gossipMs: LAN.gossipMs, reached: times.length, of, ...quantilesMs(times, of) }
  }

  /** How long until the living have the dead out. */
  crash(): DetectionStudy {
    const { world } = this
    const count = Math.max(1, Math.round((world.nodes.length * this.#options.crashPermille) / 1_000))
    const victims = new Set<PeerId>()
    while (victims.size < count) victims.add(world.prng.pick(world.nodes).peer)
    const times: number[] = []
    const healthy: number[] = []
    const startMs = world.nowMs
    this.#watch = (observer, { state, word }) => {
      if (state !== 'dead' || !victims.has(word.peer)) return
      times.push(world.nowMs - startMs)
      if (observer.swim.healthScore === 0) healthy.push(world.nowMs - startMs)
    }
    for (const peer of victims) world.crash(world.node(peer))
    const wanted = victims.size * this.up.length
    world.run(CRASH_MS, () => times.length >= wanted)
    this.#watch = () => {}
    return {
      crashed: victims.size,
      observations: wanted,
      seen: times.length,
      healthy: healthy.length,
      within10s: healthy.filter((ms) => ms <= 10_000).length / Math.max(1, healthy.length),
      ...quantilesMs(times, wanted),
      curve: curveOf(times, wanted),
    }
  }

  /** Nodes that crash and are back a second later, remembering nothing: how long until all know the new life. */
  restart(): RegionStudy['restarts'] {
    const { world } = this
    const backMs: number[] = []
    for (let done = 0; done < this.#options.restarts; done += 1) {
      const node = world.prng.pick(this.up.filter(({ kind }) => kind === 'honest'))
      world.crash(node)
      world.run(RESTART_GAP_MS)
      let knowing = 0
      this.#watch = (_observer, { word, state }) => {
        if (word.peer === node.peer && state === 'alive') knowing += 1
      }
      const [startMs, wanted] = [world.nowMs, this.up.length + 1]
      world.start(node, [world.prng.pick(this.up), world.prng.pick(this.up), world.prng.pick(this.up)])
      world.run(SPREAD_MS, () => knowing >= wanted)
      backMs.push(world.nowMs - startMs)
    }
    this.#watch = () => {}
    backMs.sort((a, b) => a - b)
    return { count: backMs.length, medianMs: backMs[backMs.length >> 1] ?? null, lastMs: backMs.at(-1) ?? null }
  }

  /** Two parts that lose sight of each other, and how long they take to find each other again. */
  cut(cutPermille: number): PartitionStudy {
    const { world } = this
    const size = Math.round((world.nodes.length * cutPermille) / 1_000)
    this.#isCut = true
    world.cut((from, to) => from.place < size !== to.place < size)
    world.run(CUT_MS)
    const lost = this.up.reduce((sum, { swim }) => sum + this.up.length - swim.table.thereCount, 0)
    world.cut(() => false)
    const startMs = world.nowMs
    const isWhole = (): boolean => this.up.every(({ swim }) => swim.table.thereCount >= this.up.length)
    while (!isWhole() && world.nowMs - startMs < HEAL_MS) world.run(CURVE_STEP_MS)
    this.#isCut = false
    return {
      peers: world.nodes.length,
      cut: size,
      cutMs: CUT_MS,
      lostSights: lost,
      healedMs: isWhole() ? world.nowMs - startMs : null,
    }
  }

  #bytes(): number {
    return this.world.nodes.reduce((sum, { bytesSent }) => sum + bytesSent, 0)
  }
}

export function studyRegion(options: RegionStudyOptions): RegionStudy {
  const trial = new RegionTrial(options)
  const quiet = trial.quiet()
  const spread = trial.spread()
  const crash = trial.crash()
  const draws = studyDraws(trial.world, options.jobs)
  const restarts = trial.restart()
  const { falsePositives } = trial
  return { seed: options.seed, peers: options.peers, quiet, spread, crash, draws, restarts, falsePositives }
}

/** A region in two parts for a while, the smaller this large. */
export function studyPartition(options: RegionStudyOptions, cutPermille: number): PartitionStudy {
  return new RegionTrial(options).cut(cutPermille)
}

function quantilesMs(
  times: number[],
  of: number,
): { medianMs: number | null; p99Ms: number | null; lastMs: number | null } {
  times.sort((a, b) => a - b)
  const at = (share: number): number | null => times[Math.max(0, Math.ceil(share * of) - 1)] ?? null
  return { medianMs: at(0.5), p99Ms: at(0.99), lastMs: at(1) }
}

function curveOf(times: readonly number[], of: number): DetectionStudy['curve'] {
  const curve: { ms: number; share: number }[] = []
  let seen = 0
  for (let ms = 0; ms <= CRASH_MS; ms += CURVE_STEP_MS) {
    while (seen < times.length && (times[seen] ?? Number.POSITIVE_INFINITY) <= ms) seen += 1
    curve.push({ ms, share: seen / of })
    if (seen === of) break
  }
  return curve
}
