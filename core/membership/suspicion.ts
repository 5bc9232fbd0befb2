/** Suspicions: claims that a peer is gone, on their way to be refuted, confirmed, or checked by this node itself. */
import type { PeerId } from '../ids.ts'
import { type SwimOptions, suspicionMs } from './options.ts'

export type Suspicion = {
  readonly incarnation: bigint
  startMs: number
  readonly accusers: Set<PeerId>
  /** The last probe of this node's own before the verdict has failed. */
  checked: boolean
}

export class Suspicions {
  readonly #suspicions = new Map<PeerId, Suspicion>()
  readonly #options: SwimOptions

  constructor(options: SwimOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#suspicions.size
  }

  get(peer: PeerId): Suspicion | undefined {
    return this.#suspicions.get(peer)
  }

  start(peer: PeerId, incarnation: bigint, nowMs: number): Suspicion {
    const suspicion = { incarnation, startMs: nowMs, accusers: new Set<PeerId>(), checked: false }
    this.#suspicions.set(peer, suspicion)
    return suspicion
  }

  end(peer: PeerId): void {
    this.#suspicions.delete(peer)
  }

  all(): Iterable<[PeerId, Suspicion]> {
    return this.#suspicions.size === 0 ? NONE : [...this.#suspicions]
  }

  /** Gives back the time for which this node stood still; what it then found out counts for nothing. */
  excuse(stalledMs: number): void {
    for (const suspicion of this.#suspicions.values()) {
      suspicion.startMs += stalledMs
      suspicion.checked = false
    }
  }

  /** @returns false when this accuser, or enough others, were counted already */
  addAccuser({ accusers }: Suspicion, accuser: PeerId): boolean {
    if (accusers.has(accuser) || accusers.size > this.#options.confirmationCount) return false
    accusers.add(accuser)
    return true
  }

  endsMs({ startMs, accusers }: Suspicion, liveCount: number, multiplier: number): number {
    return startMs + suspicionMs(this.#options, liveCount, accusers.size, multiplier)
  }
}

const NONE: readonly [PeerId, Suspicion][] = []
