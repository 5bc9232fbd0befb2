/** The sessions that this node calls on: one for each peer, dialled when it is first needed, and again when it was lost. */

import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { FabricError } from '../../../core/errors.ts'
import type { PeerId } from '../../../core/ids.ts'
import type { Directory, PeerAddress } from '../../runtime/mesh.ts'
import type { Clock, Random } from '../../runtime/ports.ts'
import { Call } from '../call.ts'
import { Caller } from './caller.ts'
import type { Credentials } from './certificate.ts'
import { dialTcp, secure } from './dialler.ts'
import { isProved, proofFor } from './hello.ts'
import type { MeshLimits } from './options.ts'
import { keepNewest } from './rate.ts'
import type { Room } from './room.ts'
import { ALPN, RELAY_PATH, refused, unreachable } from './wire.ts'

export type CallersOptions = {
  readonly self: PeerId
  readonly credentials: Credentials
  readonly swarmKey: Uint8Array | null
  readonly limits: MeshLimits
}
export type CallersPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly directory: Directory
  readonly room: Room
}

type Backoff = { readonly failures: number; readonly untilMs: number }

const BACKOFFS_MAX = 4_096
/** An abort without a reason would make an error of its own. */
const OVER = new FabricError('CF_MESH_STREAM_BROKEN', { reason: 'dial_over' })

export class Callers {
  readonly #options: CallersOptions
  readonly #ports: CallersPorts
  readonly #dialled = new Map<PeerId, Caller>()
  /** Of peers behind NAT, which dialled us to be called. */
  readonly #reverse = new Map<PeerId, Caller>()
  readonly #pending = new Map<PeerId, Promise<Caller>>()
  readonly #backoffs = new Map<PeerId, Backoff>()
  readonly #dialling = new Set<Call>()
  #closed = false

  constructor(options: CallersOptions, ports: CallersPorts) {
    this.#options = options
    this.#ports = ports
  }

  all(): readonly Caller[] {
    return [...this.#dialled.values(), ...this.#reverse.values()].filter((caller) => !caller.gone)
  }

  /** @throws CF_MESH_PEER_UNREACHABLE, or CF_MESH_REFUSED when the peer does not let us in */
  async to(peer: PeerId): Promise<Caller> {
    const open = usable(this.#dialled.get(peer)) ?? usable(this.#reverse.get(peer))
    if (open !== undefined) return open
    const pending = this.#pending.get(peer)
    if (pending !== undefined) return pending
    if (this.#closed || (this.#backoffs.get(peer)?.untilMs ?? 0) > this.#nowMs()) throw unreachable(peer)
    const dialling = this.#dial(peer).finally(() => this.#pending.delete(peer))
    this.#pending.set(peer, dialling)
    return dialling
  }

  /** The link of a peer behind NAT that this node serves as gateway. */
  reverseOf(peer: PeerId): Caller | undefined {
    return usable(this.#reverse.get(peer))
  }

  get reverseCount(): number {
    return this.#reverse.size
  }

  /** A peer behind NAT has dialled us: from now on it can be called. */
  async adopt(peer: PeerId, socket: TLSSocket): Promise<void> {
    const call = this.#begin()
    try {
      const caller = await this.#greet(peer, socket, { direction: 'reverse', via: null }, call)
      this.#reverse.get(peer)?.close()
      this.#reverse.set(peer, caller)
      caller.onClose(() => this.#forget(this.#reverse, caller))
    } finally {
      call.end()
    }
  }

  /** Connects without a session: what becomes of the socket is the caller's business. */
  async connect(peer: PeerId, address: PeerAddress, alpn: string, call: Call): Promise<TLSSocket> {
    const way = await this.#way(peer, address, call)
    return secure(way, peer, alpn, this.#options.credentials, call)
  }

  /** It has just shown that it lives. */
  heard(peer: PeerId): void {
    this.#backoffs.delete(peer)
  }

  /** A call had no answer in time: finds out whether the session is to blame. */
  suspect(peer: PeerId): void {
    this.#dialled.get(peer)?.probe()
    this.#reverse.get(peer)?.probe()
  }

  drop(peer: PeerId): void {
    this.#dialled.get(peer)?.close()
    this.#reverse.get(peer)?.close()
  }

  tick(): void {
    for (const caller of this.all()) {
      if (caller.openCalls > 0 || caller.direction === 'reverse') caller.probe()
      else if (caller.idleMs > this.#options.limits.idleMs) caller.close()
    }
  }

  close(): void {
    this.#closed = true
    for (const call of this.#dialling) call.fail(new FabricError('CF_MESH_STREAM_BROKEN'))
    for (const caller of this.all()) caller.close()
  }

  async #dial(peer: PeerId): Promise<Caller> {
    const failures: unknown[] = []
    const caller = await this.#firstOf(peer, this.#ports.directory.addressesOf(peer), failures)
    if (caller !== undefined) return this.#keep(caller)
    this.#delay(peer)
    throw failures.find(isRefusal) ?? unreachable(peer)
  }

  /** Tries each address in turn, the next one when the last has failed or takes long; the first that answers is kept. */
  async #firstOf(
    peer: PeerId,
    [address, ...others]: readonly PeerAddress[],
    failures: unknown[],
  ): Promise<Caller | undefined> {
    if (address === undefined || this.#closed) return undefined
    const first = this.#try(peer, address).catch((error: unknown) => {
      failures.push(error)
      return undefined
    })
    const early = others.length === 0 ? await first : await this.#within(first, this.#options.limits.staggerMs)
    if (early !== undefined) return early
    if (others.length === 0) return undefined
    const rest = this.#firstOf(peer, others, failures)
    const winner = await firstFound(first, rest)
    for (const attempt of [first, rest]) void attempt.then((loser) => loser === winner || loser?.close())
    return winner
  }

  /** @returns undefined when it has failed, or is not there in time */
  async #within(attempt: Promise<Caller | undefined>, ms: number): Promise<Caller | undefined> {
    const timer = new AbortController()
    const late = this.#ports.clock.sleep(ms, timer.signal).then(
      () => undefined,
      () => undefined,
    )
    const early = await Promise.race([attempt, late])
    timer.abort(OVER)
    return early
  }

  async #try(peer: PeerId, address: PeerAddress): Promise<Caller> {
    const call = this.#begin()
    try {
      const socket = await this.connect(peer, address, ALPN, call)
      return await this.#greet(peer, socket, { direction: 'dialled', via: address }, call)
    } finally {
      call.end()
    }
  }

  async #way(peer: PeerId, address: PeerAddress, call: Call): Promise<Duplex> {
    if (address.kind === 'direct') return dialTcp(address.host, address.port, call)
    // Its link to this node would have been found: it has none.
    if (address.gateway === this.#options.self) throw unreachable(peer)
    const gateway = await call.race(this.to(address.gateway))
    return gateway.tunnel(RELAY_PATH, peer, call)
  }

  /** The first exchange: who does not know the swarm's key gets and gives nothing else. */
  async #greet(
    peer: PeerId,
    socket: TLSSocket,
    link: { readonly direction: 'dialled' | 'reverse'; readonly via: PeerAddress | null },
    call: Call,
  ): Promise<Caller> {
    const { swarmKey, limits } = this.#options
    const caller = new Caller({ peer, socket, limits, ...link }, this.#ports)
    try {
      const proof = await caller.hello(proofFor('caller', swarmKey, socket), call)
      if (!isProved(proof, 'called', swarmKey, socket)) throw refused('swarm_key')
      return caller
    } catch (error) {
      caller.close()
      throw error
    }
  }

  #keep(caller: Caller): Caller {
    this.#backoffs.delete(caller.peer)
    if (this.#closed) caller.close()
    if (this.#dialled.size >= this.#options.limits.dialledMax) this.#closeIdlest()
    this.#dialled.set(caller.peer, caller)
    caller.onClose(() => this.#forget(this.#dialled, caller))
    return caller
  }

  #closeIdlest(): void {
    const [idlest] = [...this.#dialled.values()].sort((a, b) => b.idleMs - a.idleMs)
    idlest?.close()
  }

  #forget(callers: Map<PeerId, Caller>, caller: Caller): void {
    if (callers.get(caller.peer) === caller) callers.delete(caller.peer)
  }

  /** Twice as long after each failure, with half of it left to chance: peers that lost one peer do not return as one. */
  #delay(peer: PeerId): void {
    const failures = (this.#backoffs.get(peer)?.failures ?? 0) + 1
    const { backoffMs, backoffMsMax } = this.#options.limits
    const ms = Math.min(backoffMsMax, backoffMs * 2 ** (failures - 1))
    const chance = (this.#ports.random.bytes(1)[0] ?? 0) / 256
    keepNewest(this.#backoffs, peer, { failures, untilMs: this.#nowMs() + ms * (0.5 + chance / 2) }, BACKOFFS_MAX)
  }

  #begin(): Call {
    const call = new Call({ deadlineMs: this.#options.limits.dialMs }, this.#ports.clock)
    this.#dialling.add(call)
    call.onEnd(() => this.#dialling.delete(call))
    return call
  }

  #nowMs(): number {
    return Number(this.#ports.clock.monotonicNs() / 1_000_000n)
  }
}

/** The first of two that is found; undefined when neither is. */
async function firstFound<T>(a: Promise<T | undefined>, b: Promise<T | undefined>): Promise<T | undefined> {
  const found = await Promise.race([a, b])
  return found ?? (await a) ?? (await b)
}

function usable(caller: Caller | undefined): Caller | undefined {
  return caller?.gone === false ? caller : undefined
}

function isRefusal(error: unknown): boolean {
  return error instanceof FabricError && error.code === 'CF_MESH_REFUSED'
}
