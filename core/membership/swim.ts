/**
 * Who is there: SWIM (Das, Gupta and Motivala 2002) with Lifeguard (Dadgar, Phillips and Currey 2017), as one machine without clock,
 * chance or network.
 *
 * Why nobody's word alone evicts: an accusation only starts or shortens a suspicion. It becomes a verdict when its time is up and a
 * last probe of this node's own, direct and through helpers, has failed; so liars cost probes and nothing else.
 *
 * @see docs/PROTOCOL.md#membership
 */
import type { PeerId } from '../ids.ts'
import { isGoodbye, newer, type RecordVersion } from '../roster/record.ts'
import { Chance } from './chance.ts'
import { Doubts } from './doubts.ts'
import type { SwimEffect, SwimEvent } from './effects.ts'
import { Health } from './health.ts'
import { type SwimOptions, tellCounts } from './options.ts'
import { isOver, type Probe, Probes } from './probes.ts'
import { type Accusation, type Gossip, Rumours } from './rumours.ts'
import { SelfVersion } from './self.ts'
import { Suspicions } from './suspicion.ts'
import { type Entry, MemberTable } from './table.ts'
import type { Word } from './word.ts'

/** Of those that hear of a suspicion, about this many look for themselves at once. */
const WITNESS_COUNT = 12
const URGENT_COUNT_MAX = 64
const FORGET_MS = 60_000

export class Swim<W extends Word> {
  readonly self: PeerId
  readonly table: MemberTable<W>
  readonly #options: SwimOptions
  readonly #chance: Chance
  readonly #health: Health
  readonly #rumours: Rumours<W>
  readonly #probes = new Probes()
  readonly #suspicions: Suspicions
  readonly #own: SelfVersion
  readonly #doubts = new Doubts()
  readonly #urgent = new Set<PeerId>()
  #effects: SwimEffect<W>[] = []
  #tickMs: number
  #nextProbeMs: number
  #nextGossipMs: number
  #nextSyncMs: number
  #nextDeadPingMs: number
  #nextForgetMs = 0

  /** @param seed  bytes that nobody else knows, four or more */
  constructor(self: PeerId, options: SwimOptions, seed: Uint8Array, nowMs: number) {
    this.self = self
    this.#options = options
    this.#chance = new Chance(seed)
    this.table = new MemberTable(self, this.#chance)
    this.#health = new Health(options.healthMax)
    this.#rumours = new Rumours(options.rumourCountMax)
    this.#suspicions = new Suspicions(options)
    this.#own = new SelfVersion(options)
    this.#tickMs = nowMs
    // Nodes that start together do not go on together.
    this.#nextProbeMs = nowMs + this.#chance.below(options.probeMs)
    this.#nextGossipMs = nowMs + this.#chance.below(options.gossipMs)
    this.#nextSyncMs = nowMs + this.#chance.below(options.syncMs)
    this.#nextDeadPingMs = nowMs + this.#chance.below(options.deadPingMs)
  }

  /** 0 is good health; others are given 1 + this times as long. */
  get healthScore(): number {
    return this.#health.score
  }

  /** What waits to be told. */
  get rumourCount(): number {
    return this.#rumours.count
  }

  step(event: SwimEvent<W>): readonly SwimEffect<W>[] {
    if (event.type === 'tick') this.#tick(event.nowMs, event.wallMs)
    else if (event.type === 'heard') this.#hear(event.from, event.gossip, event.nowMs, event.isPulled === true)
    else if (event.type === 'acked') this.#acked(event.probe, event.peer, event.rttMs, event.nowMs)
    else if (event.type === 'failed') this.#failed(event.probe, event.nowMs)
    else if (event.type === 'helped') this.#helped(event.probe, event.answer, event.nowMs)
    else if (event.type === 'announce') this.#own.announce()
    else if (event.type === 'leave') this.#sign(this.#own.goodbye())
    else this.#signed(event.word, event.nowMs)
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** True when a word of this version would be new here: asked before its signature is checked. */
  isNews(peer: PeerId, version: RecordVersion): boolean {
    const known = this.table.get(peer)
    return known === undefined || newer(version, known.word)
  }

  /** What to tell a peer with the next message; first of all that it is held to be gone. */
  gossipFor(peer: PeerId): Gossip<W> {
    const { gossipBytesMax } = this.#options
    return this.#rumours.take(gossipBytesMax, tellCounts(this.table.thereCount), this.#accusationOf(peer))
  }

  #accusationOf(accused: PeerId): Accusation | undefined {
    const entry = this.table.get(accused)
    if (entry === undefined || entry.state === 'alive' || entry.state === 'left') return undefined
    return { accused, incarnation: entry.word.incarnation, accuser: this.self }
  }

  #tick(nowMs: number, wallMs: number): void {
    this.#notice(nowMs)
    this.#tickMs = nowMs
    const version = this.#own.due(nowMs, wallMs)
    if (version !== undefined) this.#sign(version)
    for (const probe of this.#probes.all()) this.#advance(probe, nowMs)
    for (const [peer] of this.#suspicions.all()) this.#judge(peer, nowMs)
    this.#doubts.fade(nowMs)
    this.#probeNext(nowMs)
    this.#gossip(nowMs)
    this.#sync(nowMs)
    this.#pingDead(nowMs, wallMs)
  }

  /** A node that stood still has missed answers, not its peers. */
  #notice(nowMs: number): void {
    const stalledMs = nowMs - this.#tickMs - this.#options.tickMs
    if (stalledMs < this.#options.stallMs) return
    this.#health.worse()
    this.#probes.forgetAll()
    this.#suspicions.excuse(stalledMs)
    this.#tickMs = nowMs
  }

  #sign(version: RecordVersion): void {
    this.#effects.push({ type: 'sign', version })
  }

  #signed(word: W, nowMs: number): void {
    this.#own.signed(word, nowMs)
    this.table.put(word, isGoodbye(word) ? 'left' : 'alive', nowMs)
    this.#rumours.addWord(word)
    this.#changed(word.peer)
  }

  #changed(peer: PeerId): void {
    this.#effects.push({ type: 'changed', peer })
  }

  #hear(from: PeerId, { words, accusations }: Gossip<W>, nowMs: number, isPulled: boolean): void {
    for (const word of words) this.#learn(word, nowMs, isPulled)
    for (const accusation of accusations) this.#accuse(accusation, nowMs)
    const answer = this.#own.answer(nowMs)
    if (answer !== undefined) this.#sign(answer)
    if (from !== this.self && this.table.get(from) === undefined) this.#effects.push({ type: 'sync', peer: from })
  }

  #learn(word: W, nowMs: number, isPulled: boolean): void {
    const { peer } = word
    if (peer === this.self) {
      this.#own.outdone(word)
      return
    }
    const known = this.table.get(peer)
    if (known !== undefined && !newer(word, known.word)) return
    if (known === undefined && !this.#makeRoom()) return
    this.table.put(word, this.#stateAfter(word, known), nowMs)
    if (!this.#isSuspected(word)) this.#acquit(peer)
    if (isPulled) this.#rumours.dropAccusations(peer)
    else this.#rumours.addWord(word)
    this.#changed(peer)
  }

  /** A new incarnation refutes everything; a new word of the same one refutes nothing. */
  #stateAfter(word: W, known: Entry<W> | undefined): Entry<W>['state'] {
    if (isGoodbye(word)) return 'left'
    return known === undefined || word.incarnation > known.word.incarnation ? 'alive' : known.state
  }

  #isSuspected({ peer, incarnation }: W): boolean {
    return this.table.get(peer)?.state === 'suspect' && this.#suspicions.get(peer)?.incarnation === incarnation
  }

  #makeRoom(): boolean {
    const { peerCountMax } = this.#options
    if (this.table.size >= peerCountMax) this.table.forget(() => true)
    return this.table.size < peerCountMax
  }

  #accuse(accusation: Accusation, nowMs: number): void {
    const { accused, incarnation, accuser } = accusation
    if (accused === this.self) {
      if (this.#own.blamed(incarnation)) this.#health.blamed()
      return
    }
    const entry = this.table.get(accused)
    if (entry === undefined || !this.table.isThere(accused) || entry.word.incarnation !== incarnation) return
    const isOwn = accuser === this.self
    if (!isOwn && (!this.table.isThere(accuser) || this.#doubts.isDoubted(accuser))) return
    const suspicion = this.#suspicions.get(accused) ?? this.#suspect(entry, nowMs)
    if (!this.#suspicions.addAccuser(suspicion, accuser)) return
    this.#rumours.addAccusation(accusation)
    if (!isOwn && this.#chance.below(Math.max(1, this.table.thereCount)) < WITNESS_COUNT) this.#lookSoon(accused)
  }

  #suspect(entry: Entry<W>, nowMs: number): ReturnType<Suspicions['start']> {
    const { peer, incarnation } = entry.word
    this.table.put(entry.word, 'suspect', nowMs)
    this.#changed(peer)
    return this.#suspicions.start(peer, incarnation, nowMs)
  }

  #lookSoon(peer: PeerId): void {
    if (this.#urgent.size < URGENT_COUNT_MAX) this.#urgent.add(peer)
  }

  #probeNext(nowMs: number): void {
    for (const peer of this.#urgent) {
      if (this.#probes.count >= this.#options.probeCountMax) return
      this.#urgent.delete(peer)
      if (this.table.isThere(peer)) this.#probe(peer, nowMs, false)
    }
    if (nowMs < this.#nextProbeMs) return
    this.#nextProbeMs = nowMs + this.#options.probeMs * this.#health.multiplier
    const peer = this.#probes.count < this.#options.probeCountMax ? this.table.next() : undefined
    if (peer !== undefined) this.#probe(peer, nowMs, false)
  }

  #probe(peer: PeerId, nowMs: number, isCheck: boolean): void {
    const underWay = this.#probes.of(peer)
    if (underWay !== undefined) {
      underWay.isCheck ||= isCheck
      return
    }
    const incarnation = this.table.get(peer)?.word.incarnation ?? 0n
    const { directMs, probeEndMs } = this.#options
    const { multiplier } = this.#health
    const probe = this.#probes.start(
      { peer, incarnation, isCheck },
      nowMs,
      directMs * multiplier,
      probeEndMs * multiplier,
    )
    const deadlineMs = probeEndMs * multiplier
    this.#effects.push({ type: 'ping', peer, probe: probe.id, deadlineMs, gossip: this.gossipFor(peer) })
  }

  #advance(probe: Probe, nowMs: number): void {
    if (!probe.areHelpersAsked && (probe.directFailed || nowMs >= probe.directEndMs)) this.#askHelpers(probe, nowMs)
    if (isOver(probe, nowMs)) this.#unreached(probe, nowMs)
  }

  #askHelpers(probe: Probe, nowMs: number): void {
    const { peer, id } = probe
    probe.areHelpersAsked = true
    const helpers = this.table.pick(this.#options.helperCount, (e) => e.state === 'alive' && e.word.peer !== peer)
    probe.helpersAsked = helpers.length
    const deadlineMs = Math.max(this.#options.directMs, probe.endMs - nowMs)
    for (const helper of helpers)
      this.#effects.push({ type: 'ping-req', helper, peer, probe: id, deadlineMs, gossip: this.gossipFor(helper) })
  }

  #acked(id: number, peer: PeerId, rttMs: number, nowMs: number): void {
    const entry = this.table.get(peer)
    if (entry !== undefined) entry.rttMs = rttMs
    const probe = this.#probes.get(id)
    if (probe !== undefined) this.#health.better()
    this.#reached(peer, probe, nowMs)
  }

  /** What this node has seen itself outweighs what it has heard. */
  #reached(peer: PeerId, probe: Probe | undefined, nowMs: number): void {
    if (probe !== undefined) this.#probes.end(probe)
    const entry = this.table.get(peer)
    if (entry?.state !== 'suspect') return
    this.#acquit(peer)
    this.#rumours.dropAccusations(peer)
    this.table.put(entry.word, 'alive', nowMs)
    this.#changed(peer)
  }

  /** Ends a suspicion that was wrong. */
  #acquit(peer: PeerId): void {
    const suspicion = this.#suspicions.get(peer)
    if (suspicion === undefined) return
    this.#suspicions.end(peer)
    suspicion.accusers.delete(this.self)
    this.#doubts.add(suspicion.accusers)
  }

  #failed(id: number, nowMs: number): void {
    this.#notice(nowMs)
    const probe = this.#probes.get(id)
    if (probe === undefined) return
    probe.directFailed = true
    this.#advance(probe, nowMs)
  }

  #helped(id: number, answer: 'reached' | 'unreached' | 'silent', nowMs: number): void {
    this.#notice(nowMs)
    const probe = this.#probes.get(id)
    if (probe === undefined) return
    if (answer === 'reached') {
      this.#reached(probe.peer, probe, nowMs)
      return
    }
    probe.helpersAnswered += 1
    if (answer === 'unreached') probe.helpersHeard += 1
    this.#advance(probe, nowMs)
  }

  /** When nobody else answers either, that points at this node: Lifeguard's missed nacks, but one nack clears it. */
  #unreached(probe: Probe, nowMs: number): void {
    this.#probes.end(probe)
    if (probe.helpersAsked > 0 && probe.helpersHeard === 0) this.#health.worse()
    const entry = this.table.get(probe.peer)
    // What began a new incarnation meanwhile was not what this probe looked for.
    if (entry?.word.incarnation !== probe.incarnation || !this.table.isThere(probe.peer)) return
    this.#accuse({ accused: probe.peer, incarnation: entry.word.incarnation, accuser: this.self }, nowMs)
    const suspicion = this.#suspicions.get(probe.peer)
    if (suspicion === undefined || !probe.isCheck) return
    suspicion.checked = true
    this.#judge(probe.peer, nowMs)
  }

  /** Looks once more when a suspicion is about to run out, and believes it when that failed too. */
  #judge(peer: PeerId, nowMs: number): void {
    const suspicion = this.#suspicions.get(peer)
    const entry = this.table.get(peer)
    if (suspicion === undefined || entry === undefined) return
    const { multiplier } = this.#health
    const endsMs = this.#suspicions.endsMs(suspicion, this.table.thereCount, this.#health.patience)
    const mustLook = !suspicion.checked && nowMs >= endsMs - this.#options.probeEndMs * multiplier
    if (mustLook) this.#probe(peer, nowMs, true)
    if (mustLook || nowMs < endsMs) return
    this.#suspicions.end(peer)
    this.#rumours.dropAccusations(peer)
    this.table.put(entry.word, 'dead', nowMs)
    this.#changed(peer)
  }

  #gossip(nowMs: number): void {
    if (nowMs < this.#nextGossipMs) return
    const { gossipMs, gossipPeerCount } = this.#options
    this.#nextGossipMs = nowMs + gossipMs
    if (this.#rumours.count === 0) return
    for (const peer of this.table.pick(gossipPeerCount, ({ state }) => state === 'alive' || state === 'suspect'))
      this.#effects.push({ type: 'gossip', peer, gossip: this.gossipFor(peer) })
  }

  #sync(nowMs: number): void {
    if (nowMs < this.#nextSyncMs) return
    this.#nextSyncMs = nowMs + this.#options.syncMs
    for (const peer of this.table.pick(1, ({ state }) => state === 'alive')) this.#effects.push({ type: 'sync', peer })
  }

  #pingDead(nowMs: number, wallMs: number): void {
    if (nowMs < this.#nextDeadPingMs) return
    this.#nextDeadPingMs = nowMs + this.#options.deadPingMs
    if (this.table.size === this.table.thereCount) return
    if (nowMs >= this.#nextForgetMs) this.#forget(nowMs, wallMs)
    for (const peer of this.table.pick(1, ({ state }) => state === 'dead'))
      this.#effects.push({ type: 'gossip', peer, gossip: this.gossipFor(peer) })
  }

  /** Forgets the gone whose records nobody takes in any more. */
  #forget(nowMs: number, wallMs: number): void {
    this.#nextForgetMs = nowMs + FORGET_MS
    const oldest = BigInt(Math.max(0, Math.floor(wallMs - this.#options.recordTtlMs)))
    this.table.forget(({ word }) => word.incarnation < oldest)
  }
}
