/** A node of a swarm of separate machines: its transport, its place in the region log, its view of who is there. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FabricError } from '../../core/errors.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { PeerId } from '../../core/ids.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import { isAdmitted } from '../../core/log/standing.ts'
import { sharedFiles } from '../../models/shared-files.ts'
import { rankedNatively } from '../../native/index.ts'
import { createLogAccess, logHolders, type SwarmLogAccess } from '../jobs/log-access.ts'
import { createLogService } from '../jobs/log-service.ts'
import { createModelShare } from '../jobs/model-share.ts'
import { createRosters, followRosters } from '../jobs/rosters.ts'
import { fetchSnapshot, type SnapshotPorts as MakingPorts, SNAPSHOT_DEFAULTS, Snapshots } from '../jobs/snapshots.ts'
import { Sweeper } from '../jobs/sweeper.ts'
import { createTlsTransport, type TlsTransport } from '../mesh/tls/transport.ts'
import type { Rosters } from '../runtime/mesh.ts'
import type { Clock, Random, RegionLog, Store } from '../runtime/ports.ts'
import type { Logger } from '../runtime/telemetry.ts'
import type { Database } from '../stores/database.ts'
import { entryLinks } from '../stores/entry-link.ts'
import { LogLedger } from '../stores/ledger.ts'
import type { StateLedger } from '../stores/ledger-core.ts'
import { FollowerLedger } from '../stores/ledger-follower.ts'
import { ETCD_BATCH_COUNT_MAX, EtcdRegionLog } from '../stores/region-log-etcd.ts'
import { SqliteRegionLog } from '../stores/region-log-sqlite.ts'
import type { SnapshotPorts } from '../stores/snapshot-install.ts'
import { createSnapshotShelf, type SnapshotShelf } from '../stores/snapshot-shelf.ts'
import { addressText, ownHost } from './address.ts'
import { PeerDirectory } from './directory.ts'
import type { LocalKeys } from './genesis.ts'
import { saveGenesis } from './genesis.ts'
import type { Ticket } from './ticket.ts'
import { fetchGenesis, joinSwarm, OPEN_TYPES, welcomeNewcomers } from './welcome.ts'

export type NetworkOptions = {
  readonly listen: { readonly host: string; readonly port: number }
  /** Where others find this node; null: what it listens on. */
  readonly advertise: string | null
  readonly behindNat: boolean
  /** Endpoints of etcd, for a validator of a swarm whose log is there. */
  readonly etcd: readonly string[]
  readonly paths: {
    readonly genesis: string
    readonly peers: string
    readonly swarmKey: string
    readonly models: string
  }
}
export type NetworkPorts = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly database: Database
  readonly store: Store
  readonly keys: LocalKeys
  readonly gateways: () => readonly PeerId[]
  readonly fatal: (error: unknown) => void
  readonly onReject: (reason: string) => void
  /** What is opened is closed in reverse order. */
  readonly undo: (() => Promise<void>)[]
  readonly signal: AbortSignal
}

/** What a node has of its swarm, whichever kind that is. */
export type SwarmParts = {
  readonly genesis: Genesis
  readonly ledger: StateLedger
  /** Where entries are read again, and its name. */
  readonly log: Pick<RegionLog, 'name' | 'read'>
  readonly rosters: Rosters
}
export type Network = SwarmParts & {
  /** The log itself, where this node holds it. */
  readonly held: RegionLog | undefined
  readonly shelf: SnapshotShelf
  readonly transport: TlsTransport
  readonly directory: PeerDirectory
  readonly isValidator: boolean
  /** Where others reach this node now. */
  readonly addresses: () => readonly string[]
}

/** From a job's deadline until whoever holds the log refunds it; those that share one come one after another. */
const SWEEP_MS = 2_000
const SWEEP_TURN_MS = 1_000
const JOINED_MS = 10_000
const POLL_MS = 20
const GATEWAY_MS = 3_000

/**
 * @param genesis  of this home; undefined for one that is about to join
 * @param ticket   spent first
 * @throws         CF_MESH_*, CF_CONFIG_*, CF_STORE_*
 */
export async function openNetwork(
  options: NetworkOptions,
  ports: NetworkPorts,
  { genesis, ticket }: { readonly genesis: Genesis | undefined; readonly ticket: Ticket | undefined },
): Promise<Network> {
  const { keys, undo, signal } = ports
  const directory = new PeerDirectory(options.paths.peers)
  await directory.restore()
  if (ticket !== undefined) directory.hint({ peer: ticket.door, addresses: ticket.addresses })
  const transport = await openTransport(options, ports, directory, ticket)
  undo.push(() => transport.close())
  const joined = ticket === undefined ? genesis : await enter(transport, options, ports, ticket)
  if (joined === undefined) throw new FabricError('CF_CONFIG_INVALID', { key: 'join', expected: 'an invite' })
  const isValidator = joined.validators.includes(keys.node.peer)
  const access = createLogAccess({}, { ...ports, transport, validators: () => orderOf(joined, keys.node, isValidator) })
  undo.push(async () => access.close())
  const shelf = createSnapshotShelf(ports.database)
  const snapshots = { shelf, fetch: () => fetchSnapshot(joined, access) }
  const { ledger, log } = await openLedger(options, ports, joined, { access, snapshots })
  directory.state = () => ledger.state
  const isMember = (peer: PeerId): boolean => isAdmitted(ledger.state, peer)
  if (isValidator) {
    const service = createLogService({}, { transport, clock: ports.clock, ledger, log, isMember })
    undo.push(async () => service.close())
  }
  createModelShare({}, { transport, clock: ports.clock, isMember, files: () => sharedFiles(options.paths.models) })
  welcomeNewcomers({ transport, ledger, state: () => ledger.state })
  if (ticket !== undefined) await admitted(ledger, keys.node.peer, ports.clock, signal)
  const peers = (): readonly PeerId[] => [...ledger.state.validators.keys, ...directory.hinted]
  const rosters = createRosters({ genesis: joined, store: ports.store, transport, peers, ranked: rankedNatively })
  followRosters(rosters, { state: () => ledger.state, clock: ports.clock }, signal).catch(ports.fatal)
  if (options.behindNat) await firstGateway(transport, ports.clock, signal)
  const addresses = (): readonly string[] => addressesOf(options, transport)
  const source = { name: logName(joined, log), read: log.read.bind(log) }
  const held = 'propose' in log ? log : undefined
  const parts = { genesis: joined, ledger, log: source, rosters }
  return { ...parts, held, shelf, transport, directory, isValidator, addresses }
}

async function openTransport(
  { listen, behindNat, paths }: NetworkOptions,
  { keys, clock, random, fatal, onReject, gateways }: NetworkPorts,
  directory: PeerDirectory,
  ticket: Ticket | undefined,
): Promise<TlsTransport> {
  const swarmKey = ticket === undefined ? await readSwarmKey(paths.swarmKey) : keyOf(ticket)
  return createTlsTransport(
    { listen: behindNat ? null : listen, swarmKey: swarmKey ?? null, openTypes: OPEN_TYPES.slice(), behindNat },
    {
      key: keys.node,
      clock,
      random,
      directory,
      onBug: fatal,
      onReject,
      gateways: () => orHinted(gateways(), directory),
    },
  )
}

/** Before membership knows anybody, whom the invite or the last run named: without a gateway nobody could answer its first record. */
function orHinted(candidates: readonly PeerId[], { hinted }: PeerDirectory): readonly PeerId[] {
  return candidates.length > 0 ? candidates : hinted
}

/** Why it waits: the first record that others get should say how to reach this node. It goes on without, and tries on. */
async function firstGateway(transport: TlsTransport, clock: Clock, signal: AbortSignal): Promise<void> {
  const endMs = clock.nowMs() + GATEWAY_MS
  while (transport.gateways().length === 0 && clock.nowMs() < endMs) await clock.sleep(POLL_MS, signal)
}

/** Asks at the door for the genesis, and for a place. */
async function enter(
  transport: TlsTransport,
  { paths }: NetworkOptions,
  { keys, signal }: NetworkPorts,
  ticket: Ticket,
): Promise<Genesis> {
  const genesis = await fetchGenesis(transport, ticket, signal)
  await joinSwarm(transport, ticket, keys, genesis, signal)
  // Not before: a home that was not let in must not keep what would make its next swarm a private one.
  const swarmKey = keyOf(ticket)
  if (swarmKey !== undefined) await saveSwarmKey(paths.swarmKey, swarmKey)
  await saveGenesis(paths.genesis, genesis)
  return genesis
}

/** @returns undefined for an invite to a public swarm */
function keyOf({ swarmKey }: Ticket): Uint8Array | undefined {
  return swarmKey.length > 0 ? swarmKey : undefined
}

/** Whom to ask about the log: who holds it first. A validator asks nobody but those, or two would ask each other. */
function orderOf(genesis: Genesis, { peer }: KeyPair, isValidator: boolean): readonly PeerId[] {
  const holders = logHolders(genesis).filter((holder) => holder !== peer)
  const others = isValidator ? [] : genesis.validators.filter((one) => one !== peer && !holders.includes(one))
  return [...holders, ...others]
}

async function openLedger(
  { etcd }: NetworkOptions,
  ports: NetworkPorts,
  genesis: Genesis,
  { access, snapshots }: { readonly access: SwarmLogAccess; readonly snapshots: SnapshotPorts },
): Promise<{ ledger: StateLedger; log: RegionLog | SwarmLogAccess }> {
  const { clock, store, database, keys, undo, signal, fatal } = ports
  const self = keys.node.peer
  const { every: snapshotEvery } = SNAPSHOT_DEFAULTS
  if (!logHolders(genesis).includes(self)) {
    const onFault = (fault: FabricError): void => ports.log.error('log_forked', { code: fault.code, ...fault.detail })
    const ledger = await FollowerLedger.open(
      { genesis, snapshotEvery },
      { log: access, store, clock, snapshots, onFault },
    )
    undo.push(() => ledger.close())
    return { ledger, log: access }
  }
  const linkOf = entryLinks(genesis.swarmId)
  if (genesis.log === 'etcd' && etcd.length === 0)
    throw new FabricError('CF_CONFIG_INVALID', {
      key: 'region_log',
      expected: 'etcd:URL, for a validator of this swarm',
    })
  const isEtcd = genesis.log === 'etcd'
  const log: RegionLog = isEtcd
    ? await EtcdRegionLog.open({ endpoints: etcd, swarmId: genesis.swarmId, linkOf }, { clock })
    : new SqliteRegionLog(database, { owner: self, linkOf })
  undo.push(() => log.close())
  const batch = isEtcd ? { batchCountMax: ETCD_BATCH_COUNT_MAX } : {}
  const ledger = await LogLedger.open({ genesis, snapshotEvery, ...batch }, { log, store, clock, snapshots })
  undo.push(() => ledger.close())
  if (isEtcd) ledger.follow(signal).catch(fatal)
  new Sweeper({ graceMs: SWEEP_MS + SWEEP_TURN_MS * genesis.validators.indexOf(self) }, { ledger, store, clock })
    .run(signal)
    .catch(fatal)
  return { ledger, log }
}

/** Of a log that is read through others, what the genesis says of it. */
function logName({ log: kind, validators }: Genesis, log: RegionLog | SwarmLogAccess): string {
  if (log.name !== 'swarm') return log.name
  return kind === 'sqlite' ? `sqlite@${validators[0] ?? 'nobody'}` : 'etcd'
}

/** A validator's part in certified snapshots. @returns ends it */
export function certifySnapshots(
  { ledger, shelf, held }: Network,
  ports: Pick<MakingPorts, 'key' | 'transport' | 'store' | 'clock'>,
  onEvidence: MakingPorts['onEvidence'],
): () => Promise<void> {
  const isMember = (peer: PeerId): boolean => isAdmitted(ledger.state, peer)
  const log = held === undefined ? {} : { log: held }
  const making = new Snapshots(SNAPSHOT_DEFAULTS, { ...ports, ...log, ledger, shelf, isMember, onEvidence })
  return () => making.close()
}

/** The newcomer's own copy of the log says that it is in. */
async function admitted(ledger: StateLedger, self: PeerId, clock: Clock, signal: AbortSignal): Promise<void> {
  const endMs = clock.nowMs() + JOINED_MS
  while (!isAdmitted(ledger.state, self)) {
    if (clock.nowMs() > endMs) throw new FabricError('CF_MESH_DEADLINE', { reason: 'log_not_followed' })
    await clock.sleep(POLL_MS, signal)
  }
}

function addressesOf({ advertise, behindNat }: NetworkOptions, transport: TlsTransport): readonly string[] {
  if (behindNat) return transport.gateways().map((gateway) => addressText({ kind: 'relay', gateway }))
  if (advertise !== null) return [advertise]
  const { listening } = transport
  return listening === undefined
    ? []
    : [addressText({ kind: 'direct', host: ownHost(listening.host), port: listening.port })]
}

export async function saveSwarmKey(path: string, key: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await writeFile(path, `${Buffer.from(key).toString('hex')}\n`, { mode: 0o600, flush: true })
}

/** @returns undefined for a public swarm */
export async function readSwarmKey(path: string): Promise<Uint8Array | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new FabricError('CF_IDENTITY_KEY_UNREADABLE', { file: path }, error)
  })
  return text === undefined ? undefined : Uint8Array.from(Buffer.from(text.trim(), 'hex'))
}
