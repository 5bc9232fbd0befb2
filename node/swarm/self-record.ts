/** What this node says of itself to the swarm, kept up to date. */
import { totalmem } from 'node:os'
import { type PeerId, parseDigest } from '../../core/ids.ts'
import { LOAD_STEPS } from '../../core/roster/record.ts'
import { ROLE } from '../../core/roster/roster.ts'
import type { Member } from '../jobs/pool/member.ts'
import type { ModelPool } from '../jobs/pool/model-pool.ts'
import type { Membership, SelfRecord } from '../runtime/mesh.ts'
import type { Clock } from '../runtime/ports.ts'

export type SelfFacts = {
  readonly region: string
  readonly isValidator: boolean
  readonly threads: number
  readonly slots: number
  readonly version: string
  /** Where others reach this node now. */
  readonly addresses: () => readonly string[]
}

const MODELS_MAX = 12
const MIB = 1_048_576
const RATE_MAX = 65_535
const VERSION_BYTES_MAX = 24
const REFRESH_MS = 1_000

export class SelfDescription {
  readonly #facts: SelfFacts
  readonly #pool: ModelPool
  /** The last pace of each model, kept while it is not in memory. */
  readonly #rates = new Map<string, number>()

  constructor(facts: SelfFacts, pool: ModelPool) {
    this.#facts = facts
    this.#pool = pool
  }

  record(): SelfRecord {
    const { region, isValidator, threads, slots, version, addresses } = this.#facts
    const here = this.#pool.members.filter(({ isGone, state }) => !isGone && state !== 'failed')
    return {
      addresses: [...addresses()],
      region,
      roles: ROLE.worker | ROLE.edge | (isValidator ? ROLE.validator : 0),
      models: here.flatMap((member) => this.#modelOf(member)).slice(0, MODELS_MAX),
      hardware: { device: 'cpu', memoryMiB: Math.floor(totalmem() / MIB), threads },
      load: loadOf(here),
      slots,
      factorPermille: 1_000,
      version: version.slice(0, VERSION_BYTES_MAX),
    }
  }

  /** Tells membership what has changed until the signal aborts; it signs no oftener than it may. */
  async run(membership: Membership, clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      membership.announce(this.record())
      await clock.sleep(REFRESH_MS, signal).catch(() => {})
    }
  }

  #modelOf({ entry, resident }: Member): SelfRecord['models'] {
    const digest = parseDigest(entry.digest)
    if (digest === undefined) return []
    const pace = resident?.speed.pace ?? 0
    const rate = pace > 0 ? pace : (this.#rates.get(digest) ?? 0)
    this.#rates.set(digest, rate)
    return [{ digest, tokensPerSecond: Math.min(RATE_MAX, steady(rate)) }]
  }
}

/** Busy slots in eighths, so that a record changes with the load and not with every token. */
function loadOf(members: readonly Member[]): number {
  const slots = members.reduce((sum, { ready }) => sum + (ready?.loaded?.slotCount ?? 0), 0)
  const running = members.reduce((sum, { ready }) => sum + (ready?.running ?? 0), 0)
  return slots === 0 ? 0 : Math.min(LOAD_STEPS, Math.ceil((running * LOAD_STEPS) / slots))
}

/** To two digits, for the same reason. */
function steady(rate: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, rate))) - 1)
  return Math.round(rate / step) * step
}

/** Who could relay for a node that cannot be dialled: edges and validators with an address of their own, least loaded first. */
export function gatewayCandidates(membership: Pick<Membership, 'sights'> | undefined, self: PeerId): readonly PeerId[] {
  const able = (membership?.sights() ?? []).filter(
    ({ peer, state, record }) =>
      peer !== self &&
      state === 'alive' &&
      (record.roles & (ROLE.edge | ROLE.validator)) !== 0 &&
      record.addresses.some((address) => !address.startsWith('relay:')),
  )
  return able.toSorted((a, b) => a.record.load - b.record.load || (a.peer < b.peer ? -1 : 1)).map(({ peer }) => peer)
}
