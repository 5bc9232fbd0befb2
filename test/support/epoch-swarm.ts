/** Validators of one swarm over the memory transport and a manual clock: each has its own log state, store and view of the others. */
import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { PeerId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { applyEntry, buildEntry } from '../../core/log/apply.ts'
import { genesisEntryCodec } from '../../core/log/bodies.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import { DEFAULT_POLICY, type Genesis, makeGenesis } from '../../core/log/genesis.ts'
import { createState, type LogState } from '../../core/log/state.ts'
import { type PeerRecord, peerRecordCodec } from '../../core/roster/record.ts'
import { ROLE } from '../../core/roster/roster.ts'
import { EpochDriver, type EpochOptions } from '../../node/jobs/epochs.ts'
import { createRosters } from '../../node/jobs/rosters.ts'
import { createMemoryNetwork, type MemoryNetwork, type MemoryNetworkOptions } from '../../node/mesh/memory.ts'
import type { PeerSight, PeerState, Rosters } from '../../node/runtime/mesh.ts'
import type { Ledger, PeerTransport } from '../../node/runtime/ports.ts'
import { genesisBody } from './log-swarm.ts'
import { type ManualClock, manualClock } from './manual-clock.ts'
import { createMemoryDisk, createMemoryStore, type MemoryDisk } from './memory-store.ts'
import { keyNamed, memberNamed, validatorKeys } from './people.ts'
import { seededRandom } from './seeded-random.ts'

export const EPOCH_MS = 30_000
const START_MS = 1_000_000

export type EpochNode = {
  readonly key: KeyPair
  readonly state: LogState
  readonly transport: PeerTransport
  readonly rosters: Rosters
  readonly disk: MemoryDisk
  readonly sights: Map<PeerId, PeerSight>
  readonly stop: AbortController
  /** Entries stay away from this node's state while it lags. */
  lags: boolean
}
export type EpochSwarmOptions = {
  readonly validators: number
  readonly workers?: readonly string[]
  readonly network?: MemoryNetworkOptions
  readonly epochs?: EpochOptions
  readonly seed?: number
}

export class EpochSwarm {
  readonly genesis: Genesis
  readonly clock: ManualClock = manualClock(START_MS)
  readonly network: MemoryNetwork
  readonly keys: readonly KeyPair[]
  readonly nodes = new Map<PeerId, EpochNode>()
  readonly entries: Uint8Array[] = []
  /** What the log holder has. */
  readonly log: LogState
  readonly bugs: unknown[] = []
  readonly #options: EpochSwarmOptions
  readonly #sights = new Map<PeerId, PeerSight>()

  constructor(options: EpochSwarmOptions) {
    this.#options = options
    this.keys = validatorKeys(options.validators)
    const workers = options.workers ?? ['w0', 'w1']
    this.genesis = makeGenesis(
      genesisBody({
        createdMs: BigInt(START_MS),
        validators: this.keys.map(({ peer }) => peer),
        members: [...this.keys.keys()]
          .map((place) => memberNamed(`v${place}`))
          .concat(workers.map((name) => memberNamed(name))),
        policy: { ...DEFAULT_POLICY, epochMs: EPOCH_MS },
      }),
    )
    const random = seededRandom(options.seed ?? 1)
    this.network = createMemoryNetwork(options.network ?? {}, {
      ...{ clock: this.clock, random },
      onBug: (error) => this.bugs.push(error),
    })
    this.log = createState(this.genesis)
    for (const { peer } of this.keys) this.see(peer, { roles: ROLE.edge })
    for (const name of workers) this.see(keyNamed(name).peer, { roles: ROLE.worker }, keyNamed(name))
    this.append('genesis', genesisEntryCodec.encode({ swarmId: this.genesis.swarmId }))
  }

  /** Everybody hears from a peer; or of its end. */
  see(
    peer: PeerId,
    parts: Partial<PeerRecord> = {},
    key: KeyPair = this.keyOf(peer),
    state: PeerState = 'alive',
  ): void {
    const before = this.#sights.get(peer)
    const record: PeerRecord = { ...(before?.record ?? EMPTY_RECORD), ...parts }
    const envelope = sealAs(peerRecordCodec, record, this.genesis.swarmId, key)
    const sinceMs = before?.state === state ? before.sinceMs : this.clock.nowMs()
    const sight: PeerSight = { peer, state, record, envelope, rttMs: null, sinceMs }
    this.#sights.set(peer, sight)
    for (const { sights } of this.nodes.values()) sights.set(peer, sight)
  }

  keyOf(peer: PeerId): KeyPair {
    const key = this.keys.find((one) => one.peer === peer)
    invariant(key !== undefined, 'the peer is a validator')
    return key
  }

  start(place: number, options: { readonly disk?: MemoryDisk; readonly drive?: boolean } = {}): EpochNode {
    const key = this.keys[place]
    invariant(key !== undefined, 'a validator of the set')
    const disk = options.disk ?? createMemoryDisk()
    const [store, transport] = [createMemoryStore(disk), this.network.endpoint(key.peer)]
    const state = createState(this.genesis)
    for (const bytes of this.entries) applyEntry(state, bytes)
    const peers = () => this.keys.map(({ peer }) => peer)
    const rosters = createRosters({ genesis: this.genesis, store, transport, peers })
    const stop = new AbortController()
    const sights = new Map(this.#sights)
    const node: EpochNode = { key, state, transport, rosters, disk, sights, stop, lags: false }
    this.nodes.set(key.peer, node)
    if (options.drive === false) return node
    const ledger: Pick<Ledger, 'append'> = { append: async (kind, body) => this.append(kind, body) }
    const membership = { sights: () => [...sights.values()] }
    const ports = { key, transport, store, clock: this.clock, state: () => state, membership, ledger, rosters }
    const driver = new EpochDriver(this.#options.epochs ?? {}, { ...ports, onEvidence: (seen) => this.bugs.push(seen) })
    driver.run(stop.signal).catch((error: unknown) => this.bugs.push(error))
    return node
  }

  startAll(): readonly EpochNode[] {
    return this.keys.map((_, place) => this.start(place))
  }

  async kill(place: number): Promise<EpochNode> {
    const node = this.node(place)
    node.stop.abort(new Error('killed'))
    this.nodes.delete(node.key.peer)
    await node.transport.close()
    return node
  }

  node(place: number): EpochNode {
    const node = this.nodes.get(this.keys[place]?.peer ?? keyNamed('nobody').peer)
    invariant(node !== undefined, 'the validator runs')
    return node
  }

  append(kind: EntryKind, body: Uint8Array) {
    const { bytes } = buildEntry(this.log, kind, body, BigInt(this.clock.nowMs()))
    const result = applyEntry(this.log, bytes)
    if (result.status === 'applied') {
      this.entries.push(bytes)
      for (const node of this.nodes.values()) this.catchUp(node)
    }
    return result
  }

  catchUp(node: EpochNode): void {
    if (node.lags) return
    const due = this.entries.slice(Number(node.state.head.index) + 1)
    for (const bytes of due) invariant(applyEntry(node.state, bytes).status === 'applied', 'a logged entry applies')
  }

  /** Lets time go by in small steps until something holds. @returns how long it took, ms */
  async until(holds: () => boolean, limitMs: number): Promise<number> {
    const startMs = this.clock.nowMs()
    while (!holds()) {
      const tookMs = this.clock.nowMs() - startMs
      invariant(tookMs < limitMs, `it comes true within ${limitMs} ms`)
      await this.clock.advance(50)
    }
    return this.clock.nowMs() - startMs
  }

  async stopAll(): Promise<void> {
    for (const node of this.nodes.values()) node.stop.abort(new Error('stopped'))
    await this.clock.advance(1)
  }
}

export const EMPTY_RECORD: PeerRecord = {
  addresses: ['10.0.0.1:7734'],
  region: 'home',
  roles: 0,
  models: [],
  hardware: { device: 'cpu', memoryMiB: 1_024, threads: 2 },
  load: 0,
  slots: 1,
  factorPermille: 1_000,
  version: '1.0.0',
  incarnation: 0n,
  sequence: 0n,
}
