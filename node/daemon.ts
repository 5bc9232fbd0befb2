/** Puts a node together and takes it apart in reverse: the only place that constructs. */
import { readFile } from 'node:fs/promises'
import { FabricError } from '../core/errors.ts'
import type { KeyPair } from '../core/identity/keys.ts'
import { type Digest, parsePeerId } from '../core/ids.ts'
import type { Genesis } from '../core/log/genesis.ts'
import type { Config } from './config.ts'
import type { ControlPorts } from './control/context.ts'
import { isLoopback } from './control/guard.ts'
import { loadOrCreateSecret } from './control/secret.ts'
import { type Control, startControl } from './control/server.ts'
import { nodeGauges, RejectCounts } from './gauges.ts'
import { AuditorRole } from './jobs/auditor.ts'
import { comparing } from './jobs/closeness.ts'
import { Coordinator } from './jobs/coordinator.ts'
import { endExpiredDisputes } from './jobs/dispute-expiry.ts'
import { DisputeDesk } from './jobs/disputes.ts'
import type { Dissent } from './jobs/dissent.ts'
import { EvidenceDesk } from './jobs/evidence.ts'
import type { ModelPool } from './jobs/pool/model-pool.ts'
import { Preparations } from './jobs/prepare.ts'
import { RefereeRole } from './jobs/referee.ts'
import { ValidatorRole } from './jobs/validator.ts'
import { WorkerRole } from './jobs/worker.ts'
import { startEntries } from './model-choice.ts'
import { type HostTap, openPool, runModels, summon, watchModels } from './node-models.ts'
import { PolicyDesk } from './policies.ts'
import type { Membership } from './runtime/mesh.ts'
import type { KeyStore, Ledger, PeerTransport, Store } from './runtime/ports.ts'
import { SIMULATION_LIMITS } from './runtime/simulation.ts'
import { systemClock as clock, systemRandom as random } from './runtime/system.ts'
import { errorFields, type Logger } from './runtime/telemetry.ts'
import { NodeService } from './service.ts'
import { SimulationPool } from './simulation/pool.ts'
import { ApiKeyFile } from './stores/api-keys.ts'
import { Database } from './stores/database.ts'
import { createKeyUsage } from './stores/key-usage.ts'
import { createKeyStore } from './stores/keystore.ts'
import { createStore } from './stores/store.ts'
import { type LocalKeys, loadGenesis, loadKeys, readGenesis } from './swarm/genesis.ts'
import { type LocalPorts, openLocal } from './swarm/local.ts'
import { pullFromMembers } from './swarm/model-source.ts'
import { certifySnapshots, type Network, type NetworkOptions, openNetwork, type SwarmParts } from './swarm/networked.ts'
import { penaltyOf } from './swarm/penalties.ts'
import { becomePresent } from './swarm/presence.ts'
import { gatewayCandidates, SelfDescription } from './swarm/self-record.ts'
import { parseTicket, type Ticket } from './swarm/ticket.ts'

export type Daemon = {
  /** Where the API listens. */
  readonly address: string
  /** Ends in reverse order; what was acknowledged is on disk. */
  stop(): Promise<void>
}

/** Wrappers around the seams: how a test watches or kills the daemon at a named point without a hook in its code. */
export type Taps = {
  readonly store: (store: Store) => Store
  readonly ledger: (ledger: Ledger) => Ledger
  readonly transport: (transport: PeerTransport) => PeerTransport
  /** Once for each load of a model. */
  readonly host: HostTap
}

export type { ComputeHost } from './jobs/pool/member.ts'

export const NO_TAPS: Taps = {
  store: (store) => store,
  ledger: (ledger) => ledger,
  transport: (transport) => transport,
  host: (host) => host,
}

/** Bounds of one node, each with its unit. */
const NODE_LIMITS = {
  retryMs: 50,
  retryMsMax: 5_000,
  tickMs: 250,
  requestMs: 5_000,
  feedCountMax: 512,
} as const

/** Of the edge's part in disputes: a referee computes a whole output before it answers. */
const DISPUTE_TIMES = { refereeMs: 60_000, tickMs: 1_000, expiryMs: 60_000 } as const

/** @throws FabricError CF_CONFIG_*, CF_IDENTITY_*, CF_STORE_*, CF_CONTROL_PORT_BUSY, CF_MODEL_UNKNOWN; nothing is left running then */
export async function startDaemon(config: Config, log: Logger, taps: Taps = NO_TAPS): Promise<Daemon> {
  const undo: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    return { address: await compose(config, log, taps, undo), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function compose(config: Config, log: Logger, taps: Taps, undo: (() => Promise<void>)[]): Promise<string> {
  const { paths } = config
  const onEvent = (): void => {}
  await pullFromMembers(config.model, paths, { clock, random, onEvent }, new AbortController().signal)
  const entries = await startEntries(config)
  // First of all: the lock on the home folder.
  const database = Database.open({ path: paths.database })
  undo.push(() => database.close())
  const home = await homeOf(config, createKeyStore(paths.keys, random))
  const { keys } = home
  const store = taps.store(createStore(database))
  const stopping = new AbortController()
  const fatal = (error: unknown): void => {
    log.error('fatal', errorFields(error))
    // A bug or a broken disk: ends the process through its uncaught-exception handler, the journal has the rest.
    setImmediate(() => {
      throw error
    })
  }
  const base = { clock, random, log, database, store, keys, fatal, undo, signal: stopping.signal }
  const [rejects, audits] = [new RejectCounts(), new RejectCounts()]
  undo.push(async () => stopping.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN')))
  const swarm = await openSwarm(config, home, base, rejects)
  const pool = await openPool(config, entries, { clock, log, host: taps.host })
  undo.push(() => pool.close())
  const writer = taps.ledger(swarm.ledger)
  const version = await packageVersion()
  const node = { ...base, config, swarm, pool, writer, taps, rejects, audits, version }
  const { coordinator, disputes } = takeRoles(node)
  undo.push(async () => stopping.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN')))

  const simulator = new SimulationPool({ wallMsMax: SIMULATION_LIMITS.wallMsMax }, { clock, random })
  undo.push(() => simulator.close())
  const { ledger, rosters } = swarm
  const policies = new PolicyDesk({
    ...{ state: () => ledger.state, ledger: writer, store, mint: keys.mint },
    nameOf: (digest) => pool.members.find(({ entry }) => entry.digest === digest)?.entry.id,
  })
  const service = new NodeService({
    ...{ keys, coordinator, disputes, policies, ledger, writer, store, pool, rosters, clock, random },
    ...{ network: swarm.network, membership: () => swarm.membership, simulator, log: swarm.log, version },
    swarmKeyFile: paths.swarmKey,
  })
  const gauges = nodeGauges({
    user: keys.user.peer,
    state: () => ledger.state,
    coordinator,
    pool,
    rejects,
    audits,
    mesh: swarm.network?.transport,
  })
  const control = await serve(config, { app: service, node: gauges, usage: createKeyUsage(database), log })
  undo.push(async () => {
    service.stopping()
    await control.stop()
  })
  runModels(pool, store, () => coordinator.run(), stopping.signal).catch(fatal)
  disputes.run(stopping.signal).catch(fatal)
  const openers = [keys.user, keys.node, ...keys.validators].map(({ peer }) => peer)
  const expiry = { state: () => ledger.state, ledger: writer, store, clock, openers }
  endExpiredDisputes(expiry, DISPUTE_TIMES.expiryMs, stopping.signal).catch(fatal)
  // Without them audits judge nobody, and the next start tries again: no reason to stop a node.
  policies.publishBundled().catch((error: unknown) => log.warn('policies_not_entered', errorFields(error)))
  watchModels(config, entries, pool, { clock, log }, stopping.signal).catch(fatal)
  return control.address
}

type Base = LocalPorts & { readonly signal: AbortSignal }
type Swarm = SwarmParts & {
  readonly network: Network | undefined
  /** Joins the roles of this process; of a real swarm there is one transport for all of them. */
  readonly endpoint: (key: KeyPair) => PeerTransport
  membership: Membership | undefined
}

async function openSwarm(config: Config, home: Home, base: Base, rejects: RejectCounts): Promise<Swarm> {
  if (home.kind === 'local') {
    const local = await openLocal(home.genesis, base)
    return { ...local, network: undefined, membership: undefined }
  }
  let swarm: Swarm | undefined
  const network = await openNetwork(
    networkOptions(config),
    {
      ...base,
      onReject: (reason) => rejects.count(reason),
      gateways: () => gatewayCandidates(swarm?.membership, base.keys.node.peer),
    },
    home,
  )
  swarm = { ...network, network, membership: undefined, endpoint: () => network.transport }
  return swarm
}

type Node = Base & {
  readonly config: Config
  readonly swarm: Swarm
  readonly pool: ModelPool
  readonly writer: Ledger
  readonly taps: Taps
  readonly rejects: RejectCounts
  readonly audits: RejectCounts
  readonly version: string
}

type Roles = { readonly coordinator: Coordinator; readonly disputes: DisputeDesk }

/** Worker and edge everywhere, validator where the genesis says so. */
function takeRoles(node: Node): Roles {
  const { config, swarm, pool, writer, taps, rejects, audits, log, keys, store, fatal, undo, signal } = node
  const { ledger, rosters, network } = swarm
  const workers = [keys.node, ...keys.validators].map(({ peer }) => peer)
  const preparations = new Preparations(pool, new Set(workers))
  undo.push(async () => preparations.close())
  const common = {
    ...{ store, clock, random, preparations, runner: pool, rosters, state: () => ledger.state },
    facts: (digest: Digest) => pool.facts(digest),
    compare: comparing(pool),
  }
  const join = (key: KeyPair): PeerTransport => {
    const transport = taps.transport(swarm.endpoint(key))
    undo.push(() => transport.close())
    new WorkerRole({ ...common, key, transport })
    new RefereeRole({ ...common, key, transport })
    return transport
  }
  for (const key of keys.validators) new ValidatorRole({ ...common, key, transport: join(key) })
  const transport = join(keys.node)
  const validator =
    network?.isValidator === true ? new ValidatorRole({ ...common, key: keys.node, transport }) : undefined
  if (network !== undefined) new AuditorRole({ ...common, key: keys.node, transport })
  const misbehaved = (peer: string, reason: string): void => {
    rejects.count(reason)
    log.warn('peer_misbehaved', { peer, reason })
    const [known, penalty] = [parsePeerId(peer), penaltyOf(reason)]
    if (known !== undefined && penalty !== undefined) network?.transport.penalise(known, penalty)
  }
  const desk = new EvidenceDesk({ transport, ledger: writer, state: () => ledger.state, misbehaved, fatal, signal })
  const watch = { onEvidence: desk.report, onVote: desk.see, onSplit: desk.share }
  if (network !== undefined) {
    if (network.isValidator) {
      desk.serve()
      undo.push(certifySnapshots(network, { key: keys.node, transport, store, clock }, desk.report))
    }
    const stopWatching = ledger.onApplied((applied) => {
      desk.logged(applied)
      validator?.logged(applied)
    })
    undo.push(async () => stopWatching())
    const self = selfOf(node, network)
    swarm.membership = becomePresent(network, { ...node, key: keys.node, ledger: writer, self, ...watch })
  }
  const coordinator = new Coordinator(
    { ...NODE_LIMITS, jobCountMax: config.openJobs },
    {
      ...common,
      ...{ key: keys.node, transport, ledger: writer, fatal, misbehaved, ...watch },
      audited: (count) => audits.count(count),
      ...{ engage: (digest) => pool.engage(digest), summon: (digest) => summon(pool, digest, signal) },
    },
  )
  undo.push(async () => coordinator.stop())
  const disputes = new DisputeDesk(
    { ...DISPUTE_TIMES, requestMs: NODE_LIMITS.requestMs, disputesFailed: config.disputeFailed },
    {
      ...{
        ...common,
        key: keys.node,
        transport,
        ledger: writer,
        fatal,
        ...watch,
        onDissent: tellDissent(log, misbehaved),
      },
      user: keys.user,
      onUndisputed: (job, replica, code) => log.warn('failed_output_undisputed', { job, replica, code }),
    },
  )
  return { coordinator, disputes }
}

/** Whoever does not stand by the root that it signed has voted without computing. */
function tellDissent(log: Logger, misbehaved: (peer: string, reason: string) => void): (dissent: Dissent) => void {
  return ({ dispute, referee, result }) => {
    const position = result.found === 'position' ? result.position : -1
    log.info('referee_outvoted', { dispute, peer: referee, found: result.found, position })
    if (result.found === 'lie' && result.side === 'other') misbehaved(referee, 'margins_forged')
  }
}

function selfOf({ config, pool, version }: Node, { isValidator, addresses, genesis }: Network): SelfDescription {
  const { threads, slots } = config
  return new SelfDescription({ region: genesis.region, isValidator, threads, slots, version, addresses }, pool)
}

type Home = { readonly keys: LocalKeys } & (
  | { readonly kind: 'local'; readonly genesis: Genesis }
  /** At least one of the two: a swarm that it is in, or a ticket that leads to one. */
  | { readonly kind: 'networked'; readonly genesis: Genesis | undefined; readonly ticket: Ticket | undefined }
)

/** Which swarm this home belongs to, or is about to. @throws CF_CONFIG_HOME_TAKEN, CF_MESH_INVITE_INVALID */
async function homeOf({ paths, join, validators }: Config, keyStore: KeyStore): Promise<Home> {
  const ticket = join === null ? undefined : parseTicket(join)
  const earlier = await readGenesis(paths.genesis)
  if (ticket !== undefined && earlier !== undefined && earlier.swarmId !== ticket.swarm)
    throw new FabricError('CF_CONFIG_HOME_TAKEN', { swarm: earlier.swarmId, file: paths.genesis })
  if (ticket !== undefined || earlier?.local === false)
    return { kind: 'networked', genesis: earlier, ticket, keys: await loadKeys(keyStore, 0) }
  const genesis = await loadGenesis(paths.genesis, keyStore, validators, { clock, random })
  return { kind: 'local', genesis, keys: await loadKeys(keyStore, genesis.validators.length) }
}

function networkOptions({ meshHost, meshPort, advertise, behindNat, regionLog, paths }: Config): NetworkOptions {
  return { listen: { host: meshHost, port: meshPort }, advertise, behindNat, etcd: regionLog, paths }
}

/** The HTTP control plane with the keys that it asks for. */
async function serve(
  config: Config,
  { log, ...ports }: Pick<ControlPorts, 'app' | 'node' | 'usage' | 'log'>,
): Promise<Control> {
  const { paths, openJobs: openJobsMax } = config
  const onFault = (error: unknown): void => log.error('api_keys_unreadable', errorFields(error))
  const keys = new ApiKeyFile(paths.apiKeys, { clock, random, onFault })
  const secrets = { adminKey: await loadOrCreateSecret(paths.adminKey, random), apiKey: await apiKeyOf(config) }
  return startControl({ ...config, ...secrets, openJobsMax }, { ...ports, keys, clock, random, log })
}

async function apiKeyOf(config: Config): Promise<string | undefined> {
  return isLoopback(config.host) && !config.requireKey ? undefined : loadOrCreateSecret(config.paths.apiKey, random)
}

async function packageVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown'
}
