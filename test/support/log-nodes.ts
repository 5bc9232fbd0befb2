/** Nodes around one region log in one process: a validator that holds it, validators that hand on, and nodes that follow. */
import type { PeerId } from '../../core/ids.ts'
import { createLogAccess, type LogAccessOptions, logHolders, type SwarmLogAccess } from '../../node/jobs/log-access.ts'
import { createLogService, type LogServiceOptions } from '../../node/jobs/log-service.ts'
import { fetchSnapshot, type SnapshotPorts, Snapshots } from '../../node/jobs/snapshots.ts'
import { createMemoryNetwork, type MemoryNetwork, type MemoryNetworkOptions } from '../../node/mesh/memory.ts'
import type { Clock, PeerTransport, Random, RegionLog, Store } from '../../node/runtime/ports.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { entryLinks } from '../../node/stores/entry-link.ts'
import { LogLedger } from '../../node/stores/ledger.ts'
import { FollowerLedger, type FollowerOptions } from '../../node/stores/ledger-follower.ts'
import type { SnapshotShelf } from '../../node/stores/snapshot-shelf.ts'
import { LogSwarm } from './log-swarm.ts'
import { createMemoryRegionLog } from './memory-region-log.ts'
import { createMemoryStore } from './memory-store.ts'
import { seededRandom } from './seeded-random.ts'

export type Holder = {
  readonly ledger: LogLedger
  readonly log: RegionLog
  readonly store: Store
  readonly transport: PeerTransport
  close(): Promise<void>
}
export type Follower = {
  readonly ledger: FollowerLedger
  readonly access: SwarmLogAccess
  readonly store: Store
  readonly transport: PeerTransport
  close(): Promise<void>
}
/** `every`: entries between two snapshots. */
export type SnapshotParts = { readonly shelf: SnapshotShelf; readonly every: number; readonly keepEntries: number }
export type FollowerParts = {
  readonly store?: Store
  readonly access?: LogAccessOptions
  readonly options?: Partial<FollowerOptions>
  readonly validators?: readonly PeerId[]
  /** Serves the log to others, handing on. */
  readonly relays?: boolean
  /** A node that starts from snapshots, and as a validator makes them. */
  readonly snapshots?: SnapshotParts
  /** A wrapper that sees or loses messages. */
  readonly wrap?: (transport: PeerTransport) => PeerTransport
}

export class LogNodes {
  readonly swarm: LogSwarm
  network: MemoryNetwork
  readonly random: Random
  readonly clock: Clock
  readonly #service: LogServiceOptions
  strangers: readonly PeerId[] = []

  constructor(
    seed = 1,
    network: MemoryNetworkOptions = {},
    service: LogServiceOptions = {},
    clock = systemClock,
    log: 'sqlite' | 'etcd' = 'sqlite',
  ) {
    this.clock = clock
    this.random = seededRandom(seed)
    this.swarm = new LogSwarm({ createdMs: BigInt(clock.nowMs()), log })
    this.network = createMemoryNetwork(network, { clock, random: this.random })
    this.#service = { heartbeatMs: 100, ...service }
  }

  get validators(): readonly PeerId[] {
    return this.swarm.genesis.validators
  }

  isMember = (peer: PeerId): boolean => !this.strangers.includes(peer)

  memoryLog(): RegionLog {
    return createMemoryRegionLog({ linkOf: entryLinks(this.swarm.genesis.swarmId) })
  }

  /** @param place  of the validator in the genesis */
  async holder(
    log = this.memoryLog(),
    store = createMemoryStore(),
    place = 0,
    snapshots?: SnapshotParts,
  ): Promise<Holder> {
    const { clock, swarm } = this
    const transport = this.network.endpoint(this.#validator(place))
    const options = { genesis: swarm.genesis, ...(snapshots && { snapshotEvery: snapshots.every }) }
    const ledger = await LogLedger.open(options, { log, store, clock })
    const making = this.#making(place, snapshots, { transport, ledger, store, log })
    const service = createLogService(this.#service, { transport, clock, ledger, log, isMember: this.isMember })
    const close = async (): Promise<void> => {
      service.close()
      await making?.close()
      await transport.close()
      await ledger.close()
    }
    return { ledger, log, store, transport, close }
  }

  async follower(self: PeerId, parts: FollowerParts = {}): Promise<Follower> {
    const { clock, random, swarm } = this
    const endpoint = this.network.endpoint(self)
    const transport = parts.wrap?.(endpoint) ?? endpoint
    const store = parts.store ?? createMemoryStore()
    const holders = logHolders(swarm.genesis)
    const validators =
      parts.validators ?? (parts.relays === true ? holders : [...new Set([...holders, ...this.validators])])
    const quick = { requestMs: 300, silenceMs: 500, restMs: 200, readMs: 3_000, appendMs: 10_000 }
    const access = createLogAccess(
      { ...quick, ...parts.access },
      { transport, clock, random, validators: () => validators },
    )
    const { snapshots } = parts
    const every = snapshots && { snapshotEvery: snapshots.every }
    const options = { genesis: swarm.genesis, openMs: 2_000, ...every, ...parts.options }
    const fetch = () => fetchSnapshot(swarm.genesis, access)
    const shelf = snapshots && { snapshots: { shelf: snapshots.shelf, fetch } }
    const ledger = await FollowerLedger.open(options, { log: access, store, clock, ...shelf })
    const making = this.#making(this.validators.indexOf(self), snapshots, { transport, ledger, store })
    const { isMember } = this
    const service =
      parts.relays === true
        ? createLogService(this.#service, { transport, clock, ledger, log: access, isMember })
        : undefined
    const close = async (): Promise<void> => {
      service?.close()
      await making?.close()
      access.close()
      await ledger.close()
      await transport.close()
    }
    return { ledger, access, store, transport, close }
  }

  #making(
    place: number,
    snapshots: SnapshotParts | undefined,
    ports: Pick<SnapshotPorts, 'transport' | 'ledger' | 'store' | 'log'>,
  ): Snapshots | undefined {
    const key = this.swarm.validators[place]
    if (snapshots === undefined || key === undefined) return undefined
    const { every, keepEntries, shelf } = snapshots
    const { clock, isMember } = this
    const options = { every, keepEntries, voteMs: 500, retryMs: 50, turnMs: 0 }
    return new Snapshots(options, { ...ports, key, shelf, clock, isMember, onEvidence: () => {} })
  }

  #validator(place: number): PeerId {
    const peer = this.validators[place]
    if (peer === undefined) throw new Error(`there is no validator ${place}`)
    return peer
  }
}
