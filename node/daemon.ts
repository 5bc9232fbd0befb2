/** Puts a node together and takes it apart in reverse: the only place that constructs. */
import { readFile } from 'node:fs/promises'
import { FabricError } from '../core/errors.ts'
import type { KeyPair } from '../core/identity/keys.ts'
import type { Digest } from '../core/ids.ts'
import { genesisRoster } from '../core/log/genesis.ts'
import { rankedNatively } from '../native/index.ts'
import type { Config } from './config.ts'
import type { ControlPorts } from './control/context.ts'
import { isLoopback } from './control/guard.ts'
import { loadOrCreateSecret } from './control/secret.ts'
import { type Control, startControl } from './control/server.ts'
import { nodeGauges, RejectCounts } from './gauges.ts'
import { Coordinator } from './jobs/coordinator.ts'
import { Preparations } from './jobs/prepare.ts'
import { ValidatorRole } from './jobs/validator.ts'
import { WorkerRole } from './jobs/worker.ts'
import { loadGenesis, loadKeys } from './local-swarm.ts'
import { createMemoryNetwork } from './mesh/memory.ts'
import { startEntries } from './model-choice.ts'
import { type HostTap, openPool, runModels, summon, watchModels } from './node-models.ts'
import type { Ledger, PeerTransport, Store } from './runtime/ports.ts'
import { SIMULATION_LIMITS } from './runtime/simulation.ts'
import { systemClock as clock, systemRandom as random } from './runtime/system.ts'
import { errorFields, type Logger } from './runtime/telemetry.ts'
import { NodeService } from './service.ts'
import { SimulationPool } from './simulation/pool.ts'
import { ApiKeyFile } from './stores/api-keys.ts'
import { Database } from './stores/database.ts'
import { entryLinks } from './stores/entry-link.ts'
import { createKeyUsage } from './stores/key-usage.ts'
import { createKeyStore } from './stores/keystore.ts'
import { LogLedger } from './stores/ledger.ts'
import { SqliteRegionLog } from './stores/region-log-sqlite.ts'
import { createStore } from './stores/store.ts'

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
  const entries = await startEntries(config)
  const { paths } = config
  // First of all: the lock on the home folder.
  const database = Database.open({ path: paths.database })
  undo.push(() => database.close())
  const keyStore = createKeyStore(paths.keys, random)
  const genesis = await loadGenesis(paths.genesis, keyStore, config.validators, { clock, random })
  const keys = await loadKeys(keyStore, genesis.validators.length)
  const store = taps.store(createStore(database))
  const regionLog = new SqliteRegionLog(database, { owner: keys.node.peer, linkOf: entryLinks(genesis.swarmId) })
  const ledger = await LogLedger.open({ genesis }, { log: regionLog, store, clock })
  undo.push(() => ledger.close())

  const stopping = new AbortController()
  const pool = await openPool(config, entries, { clock, log, host: taps.host })
  undo.push(() => pool.close())

  const fatal = (error: unknown): void => {
    log.error('fatal', errorFields(error))
    // A bug or a broken disk: ends the process through its uncaught-exception handler, the journal has the rest.
    setImmediate(() => {
      throw error
    })
  }
  const network = createMemoryNetwork({}, { clock, random, onBug: fatal })
  const roster = rankedNatively(genesisRoster(genesis), { announce: (why) => log.info('native_unused', { why }) })
  const workers = [keys.node, ...keys.validators].map(({ peer }) => peer)
  const preparations = new Preparations(pool, new Set(workers))
  undo.push(async () => preparations.close())
  const common = {
    ...{ store, clock, random, preparations, runner: pool },
    ...{ state: () => ledger.state, roster: () => roster, facts: (digest: Digest) => pool.facts(digest) },
  }
  const join = (key: KeyPair): PeerTransport => {
    const transport = taps.transport(network.endpoint(key.peer))
    undo.push(() => transport.close())
    new WorkerRole({ ...common, key, transport })
    return transport
  }
  for (const key of keys.validators) new ValidatorRole({ ...common, key, transport: join(key) })
  const rejects = new RejectCounts()
  const misbehaved = (peer: string, reason: string): void => {
    rejects.count(reason)
    log.warn('peer_misbehaved', { peer, reason })
  }
  const writer = taps.ledger(ledger)
  const bounds = { ...NODE_LIMITS, jobCountMax: config.openJobs }
  const coordinator = new Coordinator(bounds, {
    ...common,
    ...{ key: keys.node, transport: join(keys.node), ledger: writer, fatal, misbehaved },
    ...{ engage: (digest) => pool.engage(digest), summon: (digest) => summon(pool, digest, stopping.signal) },
  })
  undo.push(async () => {
    stopping.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    coordinator.stop()
  })

  const simulator = new SimulationPool({ wallMsMax: SIMULATION_LIMITS.wallMsMax }, { clock, random })
  undo.push(() => simulator.close())
  const service = new NodeService({
    ...{ keys, coordinator, ledger, writer, store, pool, roster, clock, random },
    ...{ simulator, log: regionLog, version: await packageVersion() },
  })
  const node = nodeGauges({ user: keys.user.peer, state: common.state, coordinator, pool, rejects })
  const control = await serve(config, { app: service, node, usage: createKeyUsage(database), log })
  undo.push(async () => {
    service.stopping()
    await control.stop()
  })
  runModels(pool, store, () => coordinator.run(), stopping.signal).catch(fatal)
  watchModels(config, entries, pool, { clock, log }, stopping.signal).catch(fatal)
  return control.address
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
