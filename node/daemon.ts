/** Puts a node together and takes it apart in reverse: the only place that constructs. */
import { readFile } from 'node:fs/promises'
import { FabricError } from '../core/errors.ts'
import type { KeyPair } from '../core/identity/keys.ts'
import type { Digest } from '../core/ids.ts'
import type { ModelFacts } from '../core/job/judge.ts'
import { LIMITS } from '../core/limits.ts'
import { genesisRoster } from '../core/log/genesis.ts'
import type { Backend, LoadRequest } from '../models/backend.ts'
import { type CatalogueEntry, findModel } from '../models/catalogue.ts'
import type { Config } from './config.ts'
import { isLoopback } from './control/guard.ts'
import { loadOrCreateSecret } from './control/secret.ts'
import { startControl } from './control/server.ts'
import { HOST_DEFAULTS, HostBackend } from './hosts/host-backend.ts'
import { defaultMemoryBytes } from './hosts/machine.ts'
import type { HostState } from './hosts/supervisor.ts'
import { Coordinator } from './jobs/coordinator.ts'
import { ModelRunner } from './jobs/runner.ts'
import { ValidatorRole } from './jobs/validator.ts'
import { WorkerRole } from './jobs/worker.ts'
import { loadGenesis, loadKeys } from './local-swarm.ts'
import { createMemoryNetwork } from './mesh/memory.ts'
import type { Ledger, PeerTransport, Store } from './runtime/ports.ts'
import { systemClock as clock, systemRandom as random } from './runtime/system.ts'
import { errorFields, type Logger } from './runtime/telemetry.ts'
import { NodeService } from './service.ts'
import { Database } from './stores/database.ts'
import { entryLinks } from './stores/entry-link.ts'
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
  readonly host: (host: ComputeHost) => ComputeHost
}

export type ComputeHost = Backend & { readonly state: HostState }

export const NO_TAPS: Taps = {
  store: (store) => store,
  ledger: (ledger) => ledger,
  transport: (transport) => transport,
  host: (host) => host,
}

const JOB_COUNT_MAX = 256

/** Bounds of one node, each with its unit. */
const NODE_LIMITS = {
  jobCountMax: JOB_COUNT_MAX,
  /**
   * Generations that wait for a slot; a worker with more answers `busy`. Every replica of every open job finds its place: the workers of
   * a local swarm share one engine, so what is too much is refused at the door and not after its hold.
   */
  waitingGenerationsMax: JOB_COUNT_MAX * LIMITS.replicaCountMax,
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
  const model = modelOf(config)
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

  const hostOptions = { ...HOST_DEFAULTS, waitingCountMax: NODE_LIMITS.waitingGenerationsMax }
  const host = taps.host(
    new HostBackend(hostOptions, { clock, onEvent: ({ type, ...fields }) => log.info(type, fields) }),
  )
  undo.push(() => host.close())
  const runner = new ModelRunner(host, NODE_LIMITS.waitingGenerationsMax)
  const facts = (modelDigest: Digest): ModelFacts | undefined => {
    const loaded = runner.current
    if (loaded === undefined || loaded.digest !== modelDigest) return undefined
    return { megaParams: model.megaParams, vocabSize: loaded.vocabSize, stopIds: loaded.stopIds }
  }

  const fatal = (error: unknown): void => {
    log.error('fatal', errorFields(error))
    // A bug or a broken disk: ends the process through its uncaught-exception handler, the journal has the rest.
    setImmediate(() => {
      throw error
    })
  }
  const network = createMemoryNetwork({}, { clock, random, onBug: fatal })
  const roster = genesisRoster(genesis)
  const common = { store, clock, random, state: () => ledger.state, roster: () => roster, facts, runner }
  const join = (key: KeyPair): PeerTransport => {
    const transport = taps.transport(network.endpoint(key.peer))
    undo.push(() => transport.close())
    new WorkerRole({ ...common, key, transport })
    return transport
  }
  for (const key of keys.validators) new ValidatorRole({ ...common, key, transport: join(key) })
  const misbehaved = (peer: string, reason: string): void => log.warn('peer_misbehaved', { peer, reason })
  const writer = taps.ledger(ledger)
  const coordinator = new Coordinator(NODE_LIMITS, {
    ...common,
    ...{ key: keys.node, transport: join(keys.node), ledger: writer, fatal, misbehaved },
  })
  let stopped = false
  undo.push(async () => {
    stopped = true
    coordinator.stop()
  })

  const service = new NodeService({
    ...{ keys, coordinator, ledger, writer, store, runner, model, roster, clock, random },
    ...{ logName: regionLog.name, version: await packageVersion(), hostState: () => host.state },
  })
  const control = await startControl(
    { ...config, adminKey: await loadOrCreateSecret(paths.adminKey, random), apiKey: await apiKeyOf(config) },
    { app: service, clock, random, log },
  )
  undo.push(async () => {
    service.stopping()
    await control.stop()
  })
  void host
    .load(loadRequest(config, model))
    .then((loaded) => runner.loaded(loaded))
    .catch((error: unknown) => stopped || log.error('model_failed', errorFields(error)))
    // Jobs found in the journal go on when there is an engine to run them, or are refunded at their deadline without one.
    .then(() => (stopped ? undefined : coordinator.run()))
    .catch(fatal)
  return control.address
}

function modelOf({ model }: Config): CatalogueEntry {
  const entry = findModel(model)
  if (entry === undefined) throw new FabricError('CF_MODEL_UNKNOWN', { model })
  return entry
}

function loadRequest({ threads, slots, gpu }: Config, { path, digest, contextTokens }: CatalogueEntry): LoadRequest {
  return { path, digest, contextTokens, slotCount: slots, threads, memoryBytesMax: defaultMemoryBytes(), gpu }
}

async function apiKeyOf(config: Config): Promise<string | undefined> {
  return isLoopback(config.host) ? undefined : loadOrCreateSecret(config.paths.apiKey, random)
}

async function packageVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown'
}
