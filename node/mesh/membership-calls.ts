/** The calls of membership, those that it makes and those that it answers; how many are open at once is bounded. */
import { FabricError } from '../../core/errors.ts'
import type { PeerId } from '../../core/ids.ts'
import type { SwimEffect, SwimEvent } from '../../core/membership/effects.ts'
import {
  digestCodec,
  gossipCodec,
  helpAnswerCodec,
  helpCodec,
  SYNC_WORDS_BYTES_MAX,
  syncCodec,
  toWire,
  versionsCodec,
} from '../../core/membership/messages.ts'
import type { Gossip } from '../../core/membership/rumours.ts'
import type { Swim } from '../../core/membership/swim.ts'
import { compare, differing, digestOfTable, versionsIn, within } from '../../core/membership/sync.ts'
import type { SealedWord } from '../../core/membership/word.ts'
import type { Clock, PeerTransport } from '../runtime/ports.ts'
import type { MembershipWire } from './membership-wire.ts'

export type CallPorts = {
  readonly transport: PeerTransport
  readonly clock: Clock
  readonly admitted: (peer: PeerId) => boolean
  readonly onBug: (error: unknown) => void
  readonly swim: Swim<SealedWord>
  readonly wire: MembershipWire
  readonly nowMs: () => number
  readonly step: (event: SwimEvent<SealedWord>) => void
  readonly signal: AbortSignal
}

type Handler = (from: PeerId, body: Uint8Array) => Promise<Uint8Array>
type CallEffect = Exclude<SwimEffect<SealedWord>, { readonly type: 'sign' | 'changed' }>

const SYNC_MS = 5_000
/** A difference of two thousand records of the common size takes a dozen. */
const SYNC_ROUND_COUNT_MAX = 64
const SYNC_COUNT_MAX = 4
const GOSSIP_MS = 2_000
const GOSSIP_COUNT_MAX = 16
const HELP_COUNT_MAX = 32
const HELP_MS_MAX = 5_000
const NOTHING: Gossip<SealedWord> = { words: [], accusations: [] }

export class MembershipCalls {
  readonly #ports: CallPorts
  readonly #open = new Set<Promise<unknown>>()
  readonly #syncing = new Set<PeerId>()
  #gossiping = 0
  #helping = 0

  constructor(ports: CallPorts) {
    this.#ports = ports
    this.#answer('swim/ping', (from, body) => this.#onPing(from, body))
    this.#answer('swim/ping-req', (from, body) => this.#onHelp(from, body))
    this.#answer('swim/digest', (from, body) => this.#onDigest(from, body))
    this.#answer('swim/sync', (from, body) => this.#onSync(from, body))
  }

  perform(effect: CallEffect): void {
    if (effect.type === 'ping') this.#track(this.#probe(effect.peer, effect.probe, effect.gossip, effect.deadlineMs))
    else if (effect.type === 'ping-req') this.#track(this.#askHelper(effect))
    else if (effect.type === 'sync') this.startSync(effect.peer)
    else if (this.#gossiping < GOSSIP_COUNT_MAX) this.#track(this.tell(effect.peer, effect.gossip, GOSSIP_MS))
  }

  startSync(peer: PeerId): void {
    if (this.#syncing.size >= SYNC_COUNT_MAX || this.#syncing.has(peer)) return
    this.#track(this.sync(peer, SYNC_MS, this.#ports.signal))
  }

  async settled(): Promise<void> {
    await Promise.all(this.#open)
  }

  /** Sends what is to be told and takes in what is told back. */
  async tell(peer: PeerId, gossip: Gossip<SealedWord>, deadlineMs: number): Promise<boolean> {
    this.#gossiping += 1
    const answer = await this.#call(peer, 'swim/ping', gossipCodec.encode(toWire(gossip)), deadlineMs)
    this.#gossiping -= 1
    return answer !== undefined && this.#heard(peer, answer)
  }

  /**
   * Makes two tables equal, in as many rounds as that takes.
   *
   * @returns false when the peer did not answer
   */
  async sync(peer: PeerId, deadlineMs: number, signal: AbortSignal): Promise<boolean> {
    this.#syncing.add(peer)
    try {
      for (let round = 0; round < SYNC_ROUND_COUNT_MAX; round += 1) {
        const found = await this.#syncOnce(peer, deadlineMs, signal)
        if (found !== 'more') return found === 'equal'
      }
      return true
    } finally {
      this.#syncing.delete(peer)
    }
  }

  async #syncOnce(peer: PeerId, deadlineMs: number, signal: AbortSignal): Promise<'equal' | 'more' | 'silent'> {
    const { swim, step, nowMs } = this.#ports
    const { buckets } = swim.table
    const digest = digestCodec.encode({ digest: digestOfTable(buckets) })
    const answer = await this.#call(peer, 'swim/digest', digest, deadlineMs, signal)
    const theirs =
      answer === undefined ? undefined : this.#opened(() => this.#ports.wire.open(versionsCodec, peer, answer))
    if (theirs === undefined) return 'silent'
    const { wanted, told, heard } = compare(swim.table, swim.self, peer, theirs.buckets, theirs.versions)
    step({ type: 'heard', from: peer, gossip: { words: [], accusations: heard }, nowMs: nowMs() })
    const words = within(told.words, SYNC_WORDS_BYTES_MAX)
    if (wanted.length + words.length + told.accusations.length === 0) return 'equal'
    const body = syncCodec.encode({ wanted, ...toWire({ words, accusations: told.accusations }) })
    const reply = await this.#call(peer, 'swim/sync', body, deadlineMs, signal)
    if (reply === undefined) return 'silent'
    const before = swim.table.size
    if (!this.#heard(peer, reply, true)) return 'silent'
    // Words that either side may not keep would be offered for ever: only progress asks for another round.
    return swim.table.size > before || words.length < told.words.length ? 'more' : 'equal'
  }

  async #probe(peer: PeerId, probe: number, gossip: Gossip<SealedWord>, deadlineMs: number): Promise<boolean> {
    const { nowMs, step } = this.#ports
    const startMs = nowMs()
    const answer = await this.#call(peer, 'swim/ping', gossipCodec.encode(toWire(gossip)), deadlineMs)
    const isAnswered = answer !== undefined && this.#heard(peer, answer)
    const endMs = nowMs()
    if (isAnswered) step({ type: 'acked', probe, peer, rttMs: endMs - startMs, nowMs: endMs })
    else step({ type: 'failed', probe, nowMs: endMs })
    return isAnswered
  }

  async #askHelper(effect: Extract<CallEffect, { readonly type: 'ping-req' }>): Promise<void> {
    const { nowMs, step, wire } = this.#ports
    const { helper, peer, probe, deadlineMs, gossip } = effect
    const waitMs = Math.min(HELP_MS_MAX, Math.floor(deadlineMs * HELP_SHARE))
    const body = helpCodec.encode({ target: peer, waitMs, ...toWire(gossip) })
    const reply = await this.#call(helper, 'swim/ping-req', body, deadlineMs)
    const opened = reply === undefined ? undefined : this.#opened(() => wire.open(helpAnswerCodec, helper, reply))
    if (opened !== undefined) step({ type: 'heard', from: helper, gossip: wire.gossip(helper, opened), nowMs: nowMs() })
    step({ type: 'helped', probe, answer: opened?.answer ?? 'silent', nowMs: nowMs() })
  }

  async #onPing(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { wire, step, nowMs, swim } = this.#ports
    const gossip = wire.gossip(from, wire.open(gossipCodec, from, body))
    step({ type: 'heard', from, gossip, nowMs: nowMs() })
    return gossipCodec.encode(toWire(swim.gossipFor(from)))
  }

  async #onHelp(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { wire, step, nowMs, swim } = this.#ports
    const { target, waitMs, ...gossip } = wire.open(helpCodec, from, body)
    if (this.#helping >= HELP_COUNT_MAX || swim.table.get(target) === undefined || target === swim.self)
      throw new FabricError('CF_MESH_REFUSED', { reason: 'no_help' })
    step({ type: 'heard', from, gossip: wire.gossip(from, gossip), nowMs: nowMs() })
    this.#helping += 1
    const isReached = await this.#probe(target, NO_PROBE, swim.gossipFor(target), Math.min(waitMs, HELP_MS_MAX))
    this.#helping -= 1
    return helpAnswerCodec.encode({ answer: isReached ? 'reached' : 'unreached', ...toWire(swim.gossipFor(from)) })
  }

  async #onDigest(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { wire, swim, step, nowMs } = this.#ports
    const { digest } = wire.open(digestCodec, from, body)
    step({ type: 'heard', from, gossip: NOTHING, nowMs: nowMs() })
    const buckets = differing(swim.table.buckets, digest)
    return versionsCodec.encode({ buckets, versions: versionsIn(swim.table, buckets) })
  }

  async #onSync(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { wire, swim, step, nowMs } = this.#ports
    const { wanted, ...gossip } = wire.open(syncCodec, from, body)
    step({ type: 'heard', from, gossip: wire.gossip(from, gossip), nowMs: nowMs() })
    const words = wanted.map((peer) => swim.table.get(peer)?.word).filter((word) => word !== undefined)
    return gossipCodec.encode(toWire({ words: within(words, SYNC_WORDS_BYTES_MAX), accusations: [] }))
  }

  #answer(type: string, handle: Handler): void {
    this.#ports.transport.onMessage(type, async (from, body) => {
      if (this.#ports.signal.aborted) throw new FabricError('CF_CONTROL_SHUTTING_DOWN')
      if (!this.#ports.admitted(from)) throw new FabricError('CF_MESH_REFUSED', { reason: 'stranger' })
      return handle(from, body)
    })
  }

  /** @returns undefined when there was no answer, or this node is about to stop */
  async #call(
    peer: PeerId,
    type: string,
    body: Uint8Array,
    deadlineMs: number,
    signal: AbortSignal = this.#ports.signal,
  ): Promise<Uint8Array | undefined> {
    const stop = signal === this.#ports.signal ? signal : AbortSignal.any([signal, this.#ports.signal])
    try {
      return await this.#ports.transport.request(peer, type, body, { deadlineMs, signal: stop })
    } catch (error) {
      if (!(error instanceof FabricError) && !stop.aborted) this.#ports.onBug(error)
      return undefined
    }
  }

  /** Takes in an answer. @returns false when it is none */
  #heard(from: PeerId, answer: Uint8Array, isPulled = false): boolean {
    const { wire, step, nowMs } = this.#ports
    const gossip = this.#opened(() => wire.open(gossipCodec, from, answer))
    if (gossip === undefined) return false
    step({ type: 'heard', from, gossip: wire.gossip(from, gossip), nowMs: nowMs(), isPulled })
    return true
  }

  #opened<T>(open: () => T): T | undefined {
    try {
      return open()
    } catch (error) {
      if (!(error instanceof FabricError)) throw error
      return undefined
    }
  }

  /** Lets nothing of a call escape but a bug. */
  #track(work: Promise<unknown>): void {
    const tracked: Promise<unknown> = work
      .catch((error: unknown) => this.#ports.onBug(error))
      .finally(() => this.#open.delete(tracked))
    this.#open.add(tracked)
  }
}

/** Of the time that is left, what a helper may take: its answer has a way to go too. */
const HELP_SHARE = 0.8
/** The id of no probe: for pings on behalf of others. */
const NO_PROBE = 0
