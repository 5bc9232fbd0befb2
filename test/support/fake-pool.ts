/** A pool of models over hosts that load when they are told to, with a clock that stands still. */
import { sha256 } from '#core/hash'
import { toHex, utf8 } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { type Digest, parseDigest } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { LoadedModel, LoadRequest } from '../../models/backend.ts'
import type { CatalogueEntry } from '../../models/catalogue.ts'
import type { HostState } from '../../node/hosts/supervisor.ts'
import type { Member } from '../../node/jobs/pool/member.ts'
import { ModelPool, type PoolEvent, type PoolOptions } from '../../node/jobs/pool/model-pool.ts'
import { FAKE_LOAD } from './fake-backend.ts'
import { AnyModelBackend, FAKE_CHAT } from './fake-models.ts'
import { type ManualClock, manualClock } from './manual-clock.ts'

export const NEVER = new AbortController().signal
export const MIB = 1_048_576

export class GatedHost extends AnyModelBackend {
  state: HostState = 'starting'
  isClosed = false
  readonly #gate: Promise<void>

  constructor(gate: Promise<void>) {
    super()
    this.#gate = gate
  }

  override async load(request: LoadRequest): Promise<LoadedModel> {
    await this.#gate
    if (this.isClosed) throw new FabricError('CF_CONTROL_SHUTTING_DOWN')
    const loaded = await super.load(request)
    this.state = 'ready'
    return loaded
  }

  override async close(): Promise<void> {
    this.isClosed = true
    await super.close()
  }
}

export type FakePool = {
  readonly pool: ModelPool
  readonly clock: ManualClock
  readonly events: readonly PoolEvent[]
  /** Hosts that were opened, by model id. */
  readonly hosts: ReadonlyMap<string, readonly GatedHost[]>
  /** Ids of the models in memory. */
  resident(): readonly string[]
  member(id: string): Member
}

export type FakePoolOptions = Partial<PoolOptions> & {
  /** Estimates, MiB, by id; 100 for others. */
  readonly mib?: Readonly<Record<string, number>>
  readonly totalMib?: number
  readonly startCount?: number
  /** Resolves when a model may load, rejects when it cannot. */
  readonly gateOf?: (id: string) => Promise<void>
}

export function fakeEntry(id: string, seed = id): CatalogueEntry {
  return { ...FAKE_CHAT, id, digest: toHex(sha256(utf8(seed))) }
}

export function digestFor(id: string): Digest {
  const digest = parseDigest(fakeEntry(id).digest)
  invariant(digest !== undefined, 'a digest')
  return digest
}

export function fakePool(ids: readonly string[], options: FakePoolOptions = {}): FakePool {
  const { mib = {}, totalMib = 10_000, startCount = 0, gateOf = () => Promise.resolve(), ...given } = options
  const clock = manualClock(1_000_000)
  const events: PoolEvent[] = []
  const hosts = new Map<string, GatedHost[]>()
  const totalBytes = totalMib * MIB
  const pool = new ModelPool(
    {
      keepAliveMs: 600_000,
      pinsStart: true,
      modelsMax: 8,
      loadWaitMs: 60_000,
      retryMs: 30_000,
      waitingMax: 8,
      ...given,
    },
    {
      clock,
      open: ({ id }) => {
        const host = new GatedHost(gateOf(id))
        hosts.set(id, [...(hosts.get(id) ?? []), host])
        return host
      },
      request: (entry, memoryBytesMax) => ({ ...FAKE_LOAD, digest: entry.digest, memoryBytesMax }),
      estimate: ({ id }) => (mib[id] ?? 100) * MIB,
      memory: () => ({ totalBytes, freeBytes: totalBytes }),
      onEvent: (event) => events.push(event),
    },
  )
  pool.setEntries(
    ids.map((id) => fakeEntry(id)),
    startCount,
  )
  return {
    ...{ pool, clock, events, hosts },
    resident: () => pool.members.filter(({ resident }) => resident !== undefined).map(({ entry }) => entry.id),
    member: (id) => pool.named(id),
  }
}
