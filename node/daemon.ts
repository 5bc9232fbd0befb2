/** Puts a node together and takes it apart in reverse: the only place that constructs. */
import { readFile } from 'node:fs/promises'
import { FabricError } from '../core/errors.ts'
import type { KeyPair } from '../core/identity/keys.ts'
import type { Digest } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { genesisRoster } from '../core/log/genesis.ts'
import type { Backend, LoadRequest } from '../models/backend.ts'
import type { CatalogueEntry } from '../models/catalogue.ts'
import { rankedNatively } from '../native/index.ts'
import type { Config } from './config.ts'
import type { ControlPorts } from './control/context.ts'
import { isLoopback } from './control/guard.ts'
import { loadOrCreateSecret } from './control/secret.ts'
import { type Control, startControl } from './control/server.ts'
import { nodeGauges, RejectCounts } from './gauges.ts'
import { HOST_DEFAULTS, HostBackend } from './hosts/host-backend.ts'
import { defaultMemoryBytes, EMBEDDING_THREADS } from './hosts/machine.ts'
import type { HostPorts, HostState } from './hosts/supervisor.ts'
import { Coordinator } from './jobs/coordinator.ts'
import { NodeModel } from './jobs/model.ts'
import { Preparations } from './jobs/prepare.ts'
import { ModelRunner } from './jobs/runner.ts'
import { ValidatorRole } from './jobs/validator.ts'
import { WorkerRole } from './jobs/worker.ts'
import { loadGenesis, loadKeys } from './local-swarm.ts'
import { createMemoryNetwork } from './mesh/memory.ts'
import { chooseModel } from './model-choice.ts'
import type { Ledger, PeerTransport, Store } from './runtime/ports.ts'
import { SIMULATION_LIMITS } from './runtime/simulation.ts'
import { systemClock as clock, systemRandom as random } from './runtime/system.ts'
import { errorFields, type Logger } from './runtime/telemetry.ts'
import { NodeService } from './service.ts'
import { NONE, OPEN_JOBS_MAX } from './settings.ts'
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
  /** Once for each model. */
  readonly host: (host: ComputeHost, entry: CatalogueEntry) => ComputeHost
}

export type ComputeHost = Backend & { readonly state: HostState }

export const NO_TAPS: Taps = {
  store: (store) => store,
  ledger: (ledger) => ledger,
  transport: (transport) => transport,
  host: (host) => host,
}

/** Bounds of one node, each with its unit. */
const NODE_LIMITS = {
  /**
   * Generations that wait for a slot; a worker with more answers `busy`. Every replica of every open job finds its place: the workers of
   * a local swarm share one engine, so what is too much is refused at the door and not after its hold.
   */
  waitingGenerationsMax: OPEN_JOBS_MAX * LIMITS.replicaCountMax,
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
  const entries = await entriesOf(config)
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

  const hosted = entries.map((entry) => hostOf(entry, log, taps, undo))
  const runner = new ModelRunner(hosted.map(({ model }) => model))
  const facts = (modelDigest: Digest) => runner.facts(modelDigest)

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
  const preparations = new Preparations(runner, new Set(workers))
  undo.push(async () => preparations.close())
  const common = { store, clock, random, state: () => ledger.state, roster: () => roster, facts, runner, preparations }
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
  })
  let stopped = false
  undo.push(async () => {
    stopped = true
    coordinator.stop()
  })

  const simulator = new SimulationPool({ wallMsMax: SIMULATION_LIMITS.wallMsMax }, { clock, random })
  undo.push(() => simulator.close())
  const service = new NodeService({
    ...{ keys, coordinator, ledger, writer, store, runner, roster, clock, random },
    ...{ simulator, log: regionLog, version: await packageVersion(), hostState: (model) => stateOf(model, hosted) },
  })
  const node = nodeGauges({ user: keys.user.peer, state: common.state, coordinator, runner, rejects })
  const control = await serve(config, { app: service, node, usage: createKeyUsage(database), log })
  undo.push(async () => {
    service.stopping()
    await control.stop()
  })
  loadModels(hosted, config, { log, isStopped: () => stopped, ready: () => coordinator.run(), fatal })
  return control.address
}

type LoadPorts = {
  readonly log: Logger
  readonly isStopped: () => boolean
  readonly ready: () => Promise<void>
  readonly fatal: (error: unknown) => void
}

/** One after the other: the first answer does not wait for a second model. Without that one, chat goes on, and status says why. */
function loadModels(hosted: readonly Hosted[], config: Config, { log, isStopped, ready, fatal }: LoadPorts): void {
  const load = ({ model }: Hosted): Promise<unknown> =>
    model.load(loadRequest(config, model.entry)).catch((error: unknown) => {
      if (!isStopped()) log.error('model_failed', { model: model.entry.id, ...errorFields(error) })
    })
  const [chat, ...others] = hosted
  const first = chat === undefined ? Promise.resolve() : load(chat)
  // Jobs found in the journal go on when there is an engine to run them, or are refunded at their deadline without one.
  void first.then(() => (isStopped() ? undefined : ready())).catch(fatal)
  void others.reduce((before, other) => before.then(() => (isStopped() ? undefined : load(other))), first).catch(fatal)
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

type Hosted = { readonly model: NodeModel; readonly host: ComputeHost }

/** A child process of its own for each model. */
function hostOf(entry: CatalogueEntry, log: Logger, taps: Taps, undo: (() => Promise<void>)[]): Hosted {
  const options = { ...HOST_DEFAULTS, waitingCountMax: NODE_LIMITS.waitingGenerationsMax }
  const onEvent: HostPorts['onEvent'] = ({ type, ...fields }) => log.info(type, { model: entry.id, ...fields })
  const host = taps.host(new HostBackend(options, { clock, onEvent }), entry)
  undo.push(() => host.close())
  return { host, model: new NodeModel(entry, host, NODE_LIMITS.waitingGenerationsMax) }
}

/** Whatever its host does, a model whose load was refused is not coming. */
function stateOf(model: NodeModel, hosted: readonly Hosted[]): HostState {
  const host = hosted.find((other) => other.model === model)?.host
  return model.failure !== null || host === undefined ? 'failed' : host.state
}

/** The chat model first. @throws CF_MODEL_UNKNOWN, CF_MODEL_OUT_OF_MEMORY, CF_CONFIG_INVALID for a model of the other kind */
async function entriesOf(config: Config): Promise<readonly CatalogueEntry[]> {
  const chat = await entryOf(config, config.model, 'chat', 'model')
  if (config.embeddingModel === NONE) return [chat]
  return [chat, await entryOf(config, config.embeddingModel, 'embedding', 'embedding_model')]
}

async function entryOf(config: Config, id: string, task: CatalogueEntry['task'], key: string): Promise<CatalogueEntry> {
  const entry = await chooseModel({ ...config, model: id })
  if (entry.task !== task)
    throw new FabricError('CF_CONFIG_INVALID', { key, model: id, expected: `a model for ${task}` })
  return entry
}

function loadRequest({ threads, slots, gpu }: Config, entry: CatalogueEntry): LoadRequest {
  const { format, path, digest, contextTokens, tokenizer } = entry
  return {
    ...{ format, path, digest, contextTokens, ...(tokenizer === undefined ? {} : { tokenizer }) },
    ...{ slotCount: slots, memoryBytesMax: defaultMemoryBytes() },
    threads: format === 'onnx' ? EMBEDDING_THREADS : threads,
    // Replicas of an embedding are compared by cosine in a narrow band: on a processor, whatever runs the chat model.
    gpu: format === 'onnx' ? 'off' : gpu,
  }
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
