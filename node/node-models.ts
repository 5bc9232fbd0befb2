/** The models of a node: its pool, the models of its start, those of jobs that a crash has left, those that are pulled while it runs. */
import type { Digest } from '../core/ids.ts'
import { parseJob } from '../core/job/journal.ts'
import { LIMITS } from '../core/limits.ts'
import type { CatalogueEntry } from '../models/catalogue.ts'
import { entryBytes } from '../models/fits.ts'
import type { Config } from './config.ts'
import { checkEngineSettings } from './engine-checks.ts'
import { HOST_DEFAULTS, HostBackend } from './hosts/host-backend.ts'
import { defaultMemoryBytes } from './hosts/machine.ts'
import { watchInstalled } from './installed-watch.ts'
import type { ComputeHost, Member } from './jobs/pool/member.ts'
import { ModelPool, type PoolEvent } from './jobs/pool/model-pool.ts'
import { loadRequest } from './load-request.ts'
import { memoryBytesOf, otherEntries } from './model-choice.ts'
import type { Clock, Store } from './runtime/ports.ts'
import { errorFields, type Logger } from './runtime/telemetry.ts'
import { OPEN_JOBS_MAX } from './settings.ts'

/** Stands between the pool and a model's host. */
export type HostTap = (host: ComputeHost, entry: CatalogueEntry) => ComputeHost
export type ModelPorts = { readonly clock: Clock; readonly log: Logger; readonly host: HostTap }

const POOL_LIMITS = {
  /**
   * Generations that wait for a slot; a worker with more answers `busy`. Every replica of every open job finds its place: the workers of
   * a local swarm share one engine, so what is too much is refused at the door and not after its hold.
   */
  waitingMax: OPEN_JOBS_MAX * LIMITS.replicaCountMax,
  /** How long a request waits for a model that is loaded for it. */
  loadWaitMs: 60_000,
  /** A load that has failed is not tried again before this. */
  retryMs: 30_000,
} as const

/**
 * @param start  loaded by `runModels`, the chat model first
 * @throws FabricError CF_CONFIG_INVALID
 */
export async function openPool(
  config: Config,
  start: readonly CatalogueEntry[],
  { clock, log, host }: ModelPorts,
): Promise<ModelPool> {
  checkEngineSettings(config)
  const { keepAlive: keepAliveMs, pinModels: pinsStart, modelsMax, slots } = config
  const totalBytes = memoryBytesOf(config)
  const hostOptions = { ...HOST_DEFAULTS, waitingCountMax: POOL_LIMITS.waitingMax }
  const findings = new Map<string, string>()
  const pool = new ModelPool(
    { ...POOL_LIMITS, keepAliveMs, pinsStart, modelsMax },
    {
      clock,
      open: (entry, onEvent) => host(new HostBackend(hostOptions, { clock, findings, onEvent }), entry),
      request: (entry, memoryBytesMax) => loadRequest(config, entry, memoryBytesMax),
      estimate: (entry) => entryBytes(entry, slots),
      // Who has named a bound is taken at their word.
      memory: () => ({ totalBytes, freeBytes: config.memoryMax ?? defaultMemoryBytes() }),
      onEvent: (event) => logEvent(log, event),
    },
  )
  const others = await othersOf(config, start).catch((error: unknown) => {
    log.error('models_unreadable', errorFields(error))
    return []
  })
  pool.setEntries([...start, ...others], start.length)
  return pool
}

function logEvent(log: Logger, event: PoolEvent): void {
  if (event.type === 'model_failed') {
    log.error(event.type, { model: event.model, ...errorFields(event.error) })
    return
  }
  const { type, ...fields } = event
  log.info(type, fields)
}

function othersOf(config: Config, start: readonly CatalogueEntry[]): Promise<readonly CatalogueEntry[]> {
  const { slots, pinModels } = config
  const totalBytes = memoryBytesOf(config)
  const taken = start.map((entry) => entryBytes(entry, slots))
  const restBytes = pinModels ? totalBytes - taken.reduce((sum, bytes) => sum + bytes, 0) : totalBytes
  return otherEntries(config, start, restBytes)
}

/**
 * Loads the models of the start one after the other: the first answer does not wait for a second model. Without that one, chat goes on,
 * and status says why.
 *
 * @param takeJobs  jobs found in the journal go on when there is an engine to run them, or are refunded at their deadline without one
 */
export async function runModels(
  pool: ModelPool,
  store: Pick<Store, 'openJobs'>,
  takeJobs: () => Promise<void>,
  stopping: AbortSignal,
): Promise<void> {
  const [chat, ...others] = pool.members.filter(({ isStart }) => isStart)
  // What a load failed with is in the log and in the status.
  const load = (member: Member): Promise<void> => pool.loadFirst(member).catch(() => undefined)
  const rest = async (): Promise<void> => {
    for (const member of others) if (!stopping.aborted) await load(member)
  }
  const take = async (): Promise<void> => {
    await summonForJournal(pool, store, stopping)
    if (!stopping.aborted) await takeJobs()
  }
  if (chat !== undefined) await load(chat)
  if (!stopping.aborted) await Promise.all([take(), rest()])
}

/** Brings the models of open jobs that are not the start's into memory, as far as they can be had. */
async function summonForJournal(pool: ModelPool, store: Pick<Store, 'openJobs'>, stopping: AbortSignal): Promise<void> {
  const wanted = new Set<string>(store.openJobs().map(({ bytes }) => parseJob(bytes).intent.modelDigest))
  const absent = pool.members.filter(({ entry, state }) => state === 'absent' && wanted.has(entry.digest))
  await Promise.all(absent.map((member) => pool.load(member, stopping).catch(() => undefined)))
}

/** Loads a model that is not in memory. @throws FabricError as ModelRunner.use */
export function summon(pool: ModelPool, modelDigest: Digest, stopping: AbortSignal): Promise<void> {
  return pool.use(modelDigest, stopping, async () => undefined)
}

/** Offers models that are pulled while the node runs, and takes back those that are removed, until the signal aborts. */
export async function watchModels(
  config: Config,
  start: readonly CatalogueEntry[],
  pool: ModelPool,
  { clock, log }: Omit<ModelPorts, 'host'>,
  stopping: AbortSignal,
): Promise<void> {
  const ports = {
    clock,
    read: () => othersOf(config, start),
    changed: (others: readonly CatalogueEntry[]) => pool.setEntries([...start, ...others]),
    failed: (error: unknown) => log.error('models_unreadable', errorFields(error)),
  }
  await watchInstalled(config.paths.models, ports, stopping)
}
