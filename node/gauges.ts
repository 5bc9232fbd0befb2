/** What the node tells its control plane for limits, metrics and status. */
import type { PeerId } from '../core/ids.ts'
import { type LogState, nonceKey } from '../core/log/state.ts'
import type { Coordinator } from './jobs/coordinator.ts'
import type { ModelPool } from './jobs/pool/model-pool.ts'
import type { NodeGauges } from './runtime/access.ts'
import type { MeshLoad } from './runtime/mesh.ts'

export type GaugePorts = {
  readonly user: PeerId
  readonly state: () => LogState
  readonly coordinator: Pick<Coordinator, 'openCount'>
  readonly pool: ModelPool
  readonly rejects: RejectCounts
  readonly audits: RejectCounts
  /** Undefined in a swarm of one machine. */
  readonly mesh: { load(): MeshLoad } | undefined
}

/** Reasons that are counted apart; they are words of the code, and this holds even if one day they are not. */
const REASON_COUNT_MAX = 64
const OTHER = 'other'

export class RejectCounts {
  readonly #counts = new Map<string, number>()

  count(reason: string): void {
    const name = this.#counts.has(reason) || this.#counts.size < REASON_COUNT_MAX ? reason : OTHER
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  get all(): ReadonlyMap<string, number> {
    return this.#counts
  }
}

export function nodeGauges({ user, state, coordinator, pool, rejects, audits, mesh }: GaugePorts): NodeGauges {
  return {
    openJobs: () => coordinator.openCount,
    jobOfNonce: (nonce) => state().nonces.get(nonceKey(user, nonce)),
    slots: () => ({
      busy: pool.members.reduce((sum, { ready }) => sum + (ready?.running ?? 0), 0),
      total: pool.members.reduce((sum, { ready }) => sum + (ready?.loaded?.slotCount ?? 0), 0),
    }),
    engines: () => pool.readings(),
    rejects: () => rejects.all,
    audits: () => audits.all,
    mesh: () => mesh?.load(),
  }
}
