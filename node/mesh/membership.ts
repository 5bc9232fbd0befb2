/** Who is in the swarm, kept up to date over a transport: timers, calls and signatures around the pure machine of core/membership. */
import { FabricError } from '../../core/errors.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { PeerId, SwarmId } from '../../core/ids.ts'
import type { SwimEffect, SwimEvent } from '../../core/membership/effects.ts'
import { LAN, type SwimOptions } from '../../core/membership/options.ts'
import { Swim } from '../../core/membership/swim.ts'
import type { Entry } from '../../core/membership/table.ts'
import { type SealedWord, sealWord } from '../../core/membership/word.ts'
import type { Membership, PeerSight, PenaltyReason, SelfRecord } from '../runtime/mesh.ts'
import type { Clock, PeerTransport, Random } from '../runtime/ports.ts'
import { MembershipCalls } from './membership-calls.ts'
import { type MembershipCounts, MembershipWire } from './membership-wire.ts'

export type MembershipOptions = {
  readonly swarmId: SwarmId
  /** What this node first says of itself; `announce` replaces it. */
  readonly record: SelfRecord
  /** Absent: the LAN profile. */
  readonly swim?: Partial<SwimOptions>
}

export type MembershipPorts = {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly clock: Clock
  readonly random: Random
  /** Let in by the genesis or the log; records of others are not kept. */
  readonly admitted: (peer: PeerId) => boolean
  readonly misbehaved: (peer: PeerId, reason: PenaltyReason) => void
  /** Gets what is a bug of this node. */
  readonly onBug: (error: unknown) => void
}

export type MeshMembership = Membership & {
  /** Stops without a word, as a crash would; `leave` is the polite end. */
  close(): Promise<void>
  readonly counts: Readonly<MembershipCounts>
  /** 0 is good health; while it is not, this node gives others 1 + this times as long. */
  readonly healthScore: number
}

/** How often a node that sees nobody else asks those again through whom it joined. */
const LONELY_MS = 1_000
const FAREWELL_COUNT = 8
const FAREWELL_MS = 1_000
const JOIN_MS = 5_000
const SEED_BYTES = 16
const NS_PER_MS = 1_000_000n

/** Starts at once; construct it once per transport, whose `swim/*` messages it handles from then on. */
export function createMembership(options: MembershipOptions, ports: MembershipPorts): MeshMembership {
  return new SwimMembership(options, ports)
}

class SwimMembership implements MeshMembership {
  readonly #options: MembershipOptions & { readonly swim: SwimOptions }
  readonly #ports: MembershipPorts
  readonly #swim: Swim<SealedWord>
  readonly #wire: MembershipWire
  readonly #calls: MembershipCalls
  readonly #listeners = new Set<(sight: PeerSight) => void>()
  readonly #stopped = new AbortController()
  readonly #started: { readonly wallMs: number; readonly ns: bigint }
  readonly #ticking: Promise<void>
  #record: SelfRecord
  #seeds: readonly PeerId[] = []
  #lonelyMs = 0

  constructor(options: MembershipOptions, ports: MembershipPorts) {
    const { clock, random, key } = ports
    const swim = { ...LAN, ...options.swim }
    this.#options = { ...options, swim }
    this.#ports = ports
    this.#record = options.record
    this.#started = { wallMs: clock.nowMs(), ns: clock.monotonicNs() }
    this.#swim = new Swim(key.peer, swim, random.bytes(SEED_BYTES), this.#nowMs())
    const isNews = this.#swim.isNews.bind(this.#swim)
    this.#wire = new MembershipWire({ swarmId: options.swarmId, swim }, { ...ports, isNews })
    this.#calls = new MembershipCalls({
      ...ports,
      swim: this.#swim,
      wire: this.#wire,
      nowMs: () => this.#nowMs(),
      step: (event) => this.#step(event),
      signal: this.#stopped.signal,
    })
    this.#tick()
    this.#ticking = this.#run()
  }

  get counts(): Readonly<MembershipCounts> {
    return this.#wire.counts
  }

  get healthScore(): number {
    return this.#swim.healthScore
  }

  sights(): readonly PeerSight[] {
    const sights = [...this.#swim.table.entries()].map(sightOf)
    return sights.sort((a, b) => (a.peer < b.peer ? -1 : 1))
  }

  sight(peer: PeerId): PeerSight | undefined {
    const entry = this.#swim.table.get(peer)
    return entry === undefined ? undefined : sightOf(entry)
  }

  announce(record: SelfRecord): void {
    this.#record = record
    this.#step({ type: 'announce', nowMs: this.#nowMs() })
    this.#tick()
  }

  async join(peers: readonly PeerId[], signal: AbortSignal): Promise<void> {
    const others = peers.filter((peer) => peer !== this.#swim.self)
    this.#seeds = [...new Set([...others, ...this.#seeds])].slice(0, this.#options.swim.peerCountMax)
    for (const peer of others) {
      signal.throwIfAborted()
      if (await this.#calls.sync(peer, JOIN_MS, signal)) return
    }
    signal.throwIfAborted()
    if (others.length > 0) throw new FabricError('CF_MESH_PEER_UNREACHABLE', { peers: others.length })
  }

  async leave(): Promise<void> {
    if (this.#stopped.signal.aborted) return
    this.#step({ type: 'leave', nowMs: this.#nowMs() })
    const others = this.#swim.table.pick(FAREWELL_COUNT, ({ state }) => state === 'alive')
    await Promise.all(others.map((peer) => this.#calls.tell(peer, this.#swim.gossipFor(peer), FAREWELL_MS)))
    await this.close()
  }

  async close(): Promise<void> {
    this.#stopped.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    this.#listeners.clear()
    await Promise.all([this.#ticking, this.#calls.settled()])
  }

  onChange(listener: (sight: PeerSight) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** Wall time at the start and monotonic time since: it never jumps when somebody sets the clock. */
  #nowMs(): number {
    const { wallMs, ns } = this.#started
    return wallMs + Number((this.#ports.clock.monotonicNs() - ns) / NS_PER_MS)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      await this.#ports.clock.sleep(this.#options.swim.tickMs, signal).catch(() => undefined)
      if (!signal.aborted) this.#tick()
    }
  }

  #tick(): void {
    const nowMs = this.#nowMs()
    this.#step({ type: 'tick', nowMs, wallMs: this.#ports.clock.nowMs() })
    if (this.#swim.table.thereCount > 1 || this.#seeds.length === 0 || nowMs - this.#lonelyMs < LONELY_MS) return
    this.#lonelyMs = nowMs
    const [first, ...rest] = this.#seeds
    if (first === undefined) return
    this.#seeds = [...rest, first]
    this.#calls.startSync(first)
  }

  #step(event: SwimEvent<SealedWord>): void {
    if (this.#stopped.signal.aborted) return
    for (const effect of this.#swim.step(event)) this.#perform(effect)
  }

  #perform(effect: SwimEffect<SealedWord>): void {
    if (effect.type === 'changed') this.#changed(effect.peer)
    else if (effect.type === 'sign') {
      const record = { ...this.#record, ...effect.version }
      const word = sealWord(record, this.#options.swarmId, this.#ports.key)
      this.#step({ type: 'signed', word, nowMs: this.#nowMs() })
    } else this.#calls.perform(effect)
  }

  #changed(peer: PeerId): void {
    const sight = this.sight(peer)
    if (sight === undefined) return
    for (const listener of this.#listeners) listener(sight)
  }
}

function sightOf({ word, state, rttMs, sinceMs }: Entry<SealedWord>): PeerSight {
  return { peer: word.peer, state, record: word.record, envelope: word.envelope, rttMs, sinceMs }
}
