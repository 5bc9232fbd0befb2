/** Who may call what, how often: asked once for each call, before anything is kept of it. */
import type { PeerId } from '../../../core/ids.ts'
import type { Directory, PenaltyReason } from '../../runtime/mesh.ts'
import type { Clock } from '../../runtime/ports.ts'
import { Graylist } from './graylist.ts'
import type { MeshLimits, MeshReject } from './options.ts'
import { Rates } from './rate.ts'
import { isCall, type Route } from './wire.ts'

export type GateOptions = { readonly openTypes: readonly string[]; readonly limits: MeshLimits }
export type GatePorts = {
  readonly clock: Clock
  readonly directory: Directory
  readonly onReject: (reason: MeshReject, peer: PeerId | null) => void
  /** The peer is not heard from now on. */
  readonly onShut: (peer: PeerId) => void
}

/** Why the caller of a call is refused: the blocks of strangers are counted together. */
export type Visitor = { readonly peer: PeerId; readonly block: string }

export class Gate {
  readonly #openTypes: ReadonlySet<string>
  readonly #ports: GatePorts
  readonly #graylist: Graylist
  readonly #memberRates: Rates
  readonly #strangerRates: Rates

  constructor(options: GateOptions, ports: GatePorts) {
    const { limits } = options
    this.#openTypes = new Set(options.openTypes)
    this.#ports = ports
    this.#graylist = new Graylist(limits, ports.clock)
    this.#memberRates = new Rates(limits.callsPerSecond, limits.callsBurst, ports.clock)
    this.#strangerRates = new Rates(limits.strangerCallsPerSecond, limits.strangerCallsBurst, ports.clock)
  }

  isStranger(peer: PeerId): boolean {
    return this.#ports.directory.standingOf(peer) === 'stranger'
  }

  get shutCount(): number {
    return this.#graylist.size
  }

  isShut(peer: PeerId): boolean {
    return this.#graylist.has(peer)
  }

  /** @returns why this call is refused, in the order in which it is asked */
  faultOf(visitor: Visitor, route: Route): MeshReject | undefined {
    const { peer, block } = visitor
    if (this.isShut(peer)) return 'graylisted'
    const stranger = this.isStranger(peer)
    if (stranger && !this.#isOpen(route)) return 'stranger'
    const allowed = stranger ? this.#strangerRates.take(block) : this.#memberRates.take(peer)
    if (allowed) return undefined
    this.penalise(peer, 'flood')
    return 'rate'
  }

  penalise(peer: PeerId, reason: PenaltyReason): void {
    if (this.#graylist.penalise(peer, reason)) this.#ports.onShut(peer)
  }

  reject(reason: MeshReject, peer: PeerId | null): void {
    this.#ports.onReject(reason, peer)
  }

  #isOpen(route: Route): boolean {
    return isCall(route) && this.#openTypes.has(route.type)
  }
}
