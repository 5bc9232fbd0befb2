/** Peers that this node does not hear for a while: penalties add up, halve with time, and each repeated stay is twice as long. */
import type { PeerId } from '../../../core/ids.ts'
import type { PenaltyReason } from '../../runtime/mesh.ts'
import type { Clock } from '../../runtime/ports.ts'
import type { MeshLimits } from './options.ts'
import { keepNewest } from './rate.ts'

type Standing = { points: number; atMs: number; untilMs: number; stays: number }

const PEERS_MAX = 4_096

export class Graylist {
  readonly #limits: MeshLimits
  readonly #clock: Clock
  readonly #standings = new Map<PeerId, Standing>()

  constructor(limits: MeshLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  /** @returns true when the peer is not heard from now on, and was until now */
  penalise(peer: PeerId, reason: PenaltyReason): boolean {
    const nowMs = this.#nowMs()
    const standing = this.#standings.get(peer) ?? { points: 0, atMs: nowMs, untilMs: 0, stays: 0 }
    const { penaltyHalfLifeMs, penalties, graylistPoints } = this.#limits
    standing.points = standing.points * 2 ** ((standing.atMs - nowMs) / penaltyHalfLifeMs) + penalties[reason]
    standing.atMs = nowMs
    keepNewest(this.#standings, peer, standing, PEERS_MAX)
    if (standing.points < graylistPoints || standing.untilMs > nowMs) return false
    this.#shut(standing, nowMs)
    return true
  }

  /** Peers that are not heard now. */
  get size(): number {
    const nowMs = this.#nowMs()
    return [...this.#standings.values()].filter(({ untilMs }) => untilMs > nowMs).length
  }

  has(peer: PeerId): boolean {
    return (this.#standings.get(peer)?.untilMs ?? 0) > this.#nowMs()
  }

  #shut(standing: Standing, nowMs: number): void {
    const { graylistMs, graylistMsMax } = this.#limits
    standing.untilMs = nowMs + Math.min(graylistMsMax, graylistMs * 2 ** standing.stays)
    standing.stays += 1
    standing.points = 0
  }

  /** Not the wall clock: a peer that can set it could end its stay. */
  #nowMs(): number {
    return Number(this.#clock.monotonicNs() / 1_000_000n)
  }
}
