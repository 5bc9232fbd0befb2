/** A region of nodes that run the real membership machine, under a virtual clock and a network that loses, delays and cuts. */

import { type PeerId, peerIdOf } from '../../../core/ids.ts'
import { invariant } from '../../../core/invariant.ts'
import type { SwimEffect, SwimEvent } from '../../../core/membership/effects.ts'
import type { SwimOptions } from '../../../core/membership/options.ts'
import { ACCUSATION_BYTES, type Accusation, type Gossip } from '../../../core/membership/rumours.ts'
import { Swim } from '../../../core/membership/swim.ts'
import { compare, DIGEST_BYTES, differing, digestOfTable, versionsIn } from '../../../core/membership/sync.ts'
import type { Entry } from '../../../core/membership/table.ts'
import { type Word, wordOf } from '../../../core/membership/word.ts'
import type { RecordVersion } from '../../../core/roster/record.ts'
import { Prng } from '../prng.ts'
import { Scheduler } from '../scheduler.ts'

/** `dropper`: answers probes, passes nothing on, helps nobody. `accuser`: says at every message that somebody else is gone. */
export type NodeKind = 'honest' | 'dropper' | 'accuser'

export type SwimNode = {
  readonly place: number
  readonly peer: PeerId
  readonly kind: NodeKind
  swim: Swim<Word>
  isUp: boolean
  /** Raised at every start, so that what an earlier life has scheduled is void. */
  life: number
  /** Until then it neither ticks nor answers, as a machine that has no time for it. */
  stalledMs: number
  bytesSent: number
}

export type SwimWorldOptions = {
  readonly seed: number
  readonly swim: SwimOptions
  readonly lossPermille: number
  /** One way, both ends included. */
  readonly delayMs: readonly [min: number, max: number]
  /** How much a record takes. */
  readonly recordBytes: number
}

/** Somebody has come to see a peer in another state, or under another word. */
export type Seen = (observer: SwimNode, entry: Entry<Word>) => void

/** Type and length of a message, HTTP/2 and TLS framing. */
const MESSAGE_BYTES = 90
const VERSION_BYTES = 52
const LONELY_MS = 1_000
const START_MS = 1_700_000_000_000

export class SwimWorld {
  readonly nodes: SwimNode[] = []
  readonly scheduler = new Scheduler(START_MS)
  readonly prng: Prng
  messages = 0
  readonly #options: SwimWorldOptions
  readonly #places = new Map<PeerId, SwimNode>()
  readonly #seen: Seen
  #isCut: (from: SwimNode, to: SwimNode) => boolean = () => false

  constructor(options: SwimWorldOptions, seen: Seen) {
    this.#options = options
    this.#seen = seen
    this.prng = new Prng(options.seed)
  }

  get nowMs(): number {
    return this.scheduler.nowMs
  }

  add(kind: NodeKind = 'honest'): SwimNode {
    const peer = peerIdOf(this.prng.bytes(32))
    const swim = this.#machine(peer)
    const node = { place: this.nodes.length, peer, kind, swim, isUp: false, life: 0, stalledMs: 0, bytesSent: 0 }
    this.nodes.push(node)
    this.#places.set(peer, node)
    return node
  }

  node(peer: PeerId): SwimNode {
    const node = this.#places.get(peer)
    invariant(node !== undefined, 'nobody is known who was never added')
    return node
  }

  /** Starts a node that remembers nothing; through others it learns the rest. */
  start(node: SwimNode, through: readonly SwimNode[] = []): void {
    node.swim = this.#machine(node.peer)
    node.isUp = true
    node.life += 1
    this.#tick(node, node.life)
    this.#join(node, node.life, through)
  }

  /** As the driver does: asks one after the other until somebody else is seen. */
  #join(node: SwimNode, life: number, [first, ...rest]: readonly SwimNode[]): void {
    if (first === undefined || node.life !== life || node.swim.table.thereCount > 1) return
    this.#sync(node, first.peer)
    this.scheduler.after(LONELY_MS, () => this.#join(node, life, [...rest, first]))
  }

  crash(node: SwimNode): void {
    node.isUp = false
    node.life += 1
  }

  leave(node: SwimNode): void {
    this.#step(node, { type: 'leave', nowMs: this.nowMs })
    for (const peer of node.swim.table.pick(8, ({ state }) => state === 'alive'))
      this.#perform(node, { type: 'gossip', peer, gossip: node.swim.gossipFor(peer) })
    this.crash(node)
  }

  /** Lets a node say something new of itself. */
  announce(node: SwimNode): void {
    this.#step(node, { type: 'announce', nowMs: this.nowMs })
  }

  stall(node: SwimNode, ms: number): void {
    node.stalledMs = this.nowMs + ms
  }

  cut(isCut: (from: SwimNode, to: SwimNode) => boolean): void {
    this.#isCut = isCut
  }

  /** Lets everybody know everybody, as after a long time without change. */
  acquaint(): void {
    const words = this.nodes.filter(({ isUp }) => isUp).map(({ peer, swim }) => swim.table.get(peer)?.word)
    for (const { swim, isUp } of this.nodes)
      if (isUp) for (const word of words) if (word !== undefined) swim.table.put(word, 'alive', this.nowMs)
  }

  run(ms: number, isDone?: () => boolean): void {
    this.scheduler.runUntil(this.nowMs + ms, isDone)
  }

  #machine(peer: PeerId): Swim<Word> {
    return new Swim<Word>(peer, this.#options.swim, this.prng.bytes(4), this.nowMs)
  }

  #tick(node: SwimNode, life: number): void {
    if (node.life !== life) return
    const waitMs = Math.max(0, node.stalledMs - this.nowMs)
    if (waitMs === 0) this.#step(node, { type: 'tick', nowMs: this.nowMs, wallMs: this.nowMs })
    this.scheduler.after(waitMs === 0 ? this.#options.swim.tickMs : waitMs, () => this.#tick(node, life))
  }

  #step(node: SwimNode, event: SwimEvent<Word>): void {
    if (!node.isUp) return
    for (const effect of node.swim.step(event)) this.#perform(node, effect)
  }

  #perform(node: SwimNode, effect: SwimEffect<Word>): void {
    if (effect.type === 'sign') this.#sign(node, effect.version)
    else if (effect.type === 'changed') {
      const entry = node.swim.table.get(effect.peer)
      if (entry !== undefined) this.#seen(node, entry)
    } else if (effect.type === 'sync') this.#sync(node, effect.peer)
    else if (effect.type === 'gossip') this.#ask(node, effect.peer, this.#said(node, effect.gossip), 2_000, () => {})
    else if (effect.type === 'ping') this.#ping(node, effect)
    else this.#pingReq(node, effect)
  }

  #sign(node: SwimNode, version: RecordVersion): void {
    const word = wordOf(node.peer, version, this.#options.recordBytes)
    this.#step(node, { type: 'signed', word, nowMs: this.nowMs })
  }

  #ping(node: SwimNode, { peer, probe, deadlineMs, gossip }: Extract<SwimEffect<Word>, { type: 'ping' }>): void {
    const startMs = this.nowMs
    this.#ask(node, peer, this.#said(node, gossip), deadlineMs, (isAnswered) => {
      const { nowMs } = this
      if (isAnswered) this.#step(node, { type: 'acked', probe, peer, rttMs: nowMs - startMs, nowMs })
      else this.#step(node, { type: 'failed', probe, nowMs })
    })
  }

  #pingReq(node: SwimNode, effect: Extract<SwimEffect<Word>, { type: 'ping-req' }>): void {
    const { helper, peer, probe, deadlineMs, gossip } = effect
    const helping = this.node(helper)
    const tell = (answer: 'reached' | 'unreached' | 'silent') =>
      this.#step(node, { type: 'helped', probe, answer, nowMs: this.nowMs })
    let isOver = false
    const timeout = this.scheduler.after(deadlineMs, () => {
      isOver = true
      tell('silent')
    })
    const end = (isReached: boolean): void =>
      this.#carry(helping, node, MESSAGE_BYTES, () => {
        if (isOver) return
        this.scheduler.cancel(timeout)
        tell(isReached ? 'reached' : 'unreached')
      })
    this.#carry(node, helping, sizeOf(gossip), () => {
      this.#step(helping, { type: 'heard', from: node.peer, gossip, nowMs: this.nowMs })
      if (helping.kind !== 'honest') return
      this.#ask(helping, peer, helping.swim.gossipFor(peer), deadlineMs * 0.8, end)
    })
  }

  /** A question, its answer, and what both sides hear by them. */
  #ask(
    node: SwimNode,
    peer: PeerId,
    gossip: Gossip<Word>,
    deadlineMs: number,
    end: (isAnswered: boolean) => void,
  ): void {
    const { life } = node
    const other = this.node(peer)
    let isOver = false
    const finish = (isAnswered: boolean): void => {
      isOver = true
      if (node.life === life) end(isAnswered)
    }
    const timeout = this.scheduler.after(deadlineMs, () => finish(false))
    this.#carry(node, other, sizeOf(gossip), () => {
      this.#step(other, { type: 'heard', from: node.peer, gossip, nowMs: this.nowMs })
      const back = this.#said(other, other.swim.gossipFor(node.peer))
      this.#carry(other, node, sizeOf(back), () => {
        if (isOver) return
        this.scheduler.cancel(timeout)
        this.#step(node, { type: 'heard', from: other.peer, gossip: back, nowMs: this.nowMs })
        finish(true)
      })
    })
  }

  /** What a node of its kind makes of what it should say. */
  #said(node: SwimNode, gossip: Gossip<Word>): Gossip<Word> {
    if (node.kind === 'honest') return gossip
    if (node.kind === 'dropper') return { words: [], accusations: [] }
    const victim = this.nodes[this.prng.below(this.nodes.length)]
    const entry = victim === undefined ? undefined : node.swim.table.get(victim.peer)
    if (entry === undefined) return gossip
    const { peer: accused, incarnation } = entry.word
    const lie: Accusation = { accused, incarnation, accuser: node.peer }
    return { words: gossip.words, accusations: [lie, ...gossip.accusations] }
  }

  #sync(node: SwimNode, peer: PeerId): void {
    const other = this.node(peer)
    this.#carry(node, other, MESSAGE_BYTES + DIGEST_BYTES, () => {
      if (other.kind === 'dropper') return
      const buckets = differing(other.swim.table.buckets, digestOfTable(node.swim.table.buckets))
      const versions = versionsIn(other.swim.table, buckets)
      this.#carry(other, node, MESSAGE_BYTES + VERSION_BYTES * versions.length, () => {
        const { wanted, told, heard } = compare(node.swim.table, node.peer, peer, buckets, versions)
        this.#step(node, { type: 'heard', from: peer, gossip: { words: [], accusations: heard }, nowMs: this.nowMs })
        if (wanted.length + told.words.length + told.accusations.length === 0) return
        this.#carry(node, other, sizeOf(told) + 32 * wanted.length, () => {
          this.#step(other, { type: 'heard', from: node.peer, gossip: told, nowMs: this.nowMs })
          const words = wanted.map((id) => other.swim.table.get(id)?.word).filter((word) => word !== undefined)
          const answer = { words, accusations: [] }
          this.#carry(other, node, sizeOf(answer), () =>
            this.#step(node, { type: 'heard', from: peer, gossip: answer, nowMs: this.nowMs, isPulled: true }),
          )
        })
      })
    })
  }

  #carry(from: SwimNode, to: SwimNode, byteCount: number, arrive: () => void): void {
    const { lossPermille, delayMs } = this.#options
    from.bytesSent += byteCount
    this.messages += 1
    if (this.prng.chance(lossPermille) || this.#isCut(from, to)) return
    const deliver = (): void => {
      if (!to.isUp) return
      if (to.stalledMs > this.nowMs) this.scheduler.after(to.stalledMs - this.nowMs, deliver)
      else arrive()
    }
    this.scheduler.after(this.prng.between(...delayMs), deliver)
  }
}

function sizeOf({ words, accusations }: Gossip<Word>): number {
  return words.reduce((sum, { byteCount }) => sum + byteCount, MESSAGE_BYTES + ACCUSATION_BYTES * accusations.length)
}
