/**
 * The models of this node, loaded when somebody asks for them and unloaded when others need the room or nobody has asked for a while.
 *
 * Who uses a model says so for as long as it does (`use`, `engage`): a model that is in use, or computes, is never unloaded.
 */
import { FabricError } from '../../../core/errors.ts'
import type { Digest } from '../../../core/ids.ts'
import type { ModelFacts } from '../../../core/job/judge.ts'
import type { BackendMetrics, LoadRequest } from '../../../models/backend.ts'
import type { CatalogueEntry } from '../../../models/catalogue.ts'
import { LATE, withinMs } from '../../hosts/deadline.ts'
import type { HostEvent } from '../../hosts/supervisor.ts'
import type { EngineReading } from '../../runtime/access.ts'
import type { RunningModelView } from '../../runtime/app.ts'
import type { Clock } from '../../runtime/ports.ts'
import { NodeModel } from '../model.ts'
import type { ModelRunner } from '../runner.ts'
import { type ComputeHost, Member, type Resident } from './member.ts'
import { RateMeter } from './rate-meter.ts'
import { type Granted, Room } from './room.ts'
import { engineReading, runningView } from './views.ts'

export type PoolOptions = {
  /** Of a model that nobody uses; null: for ever. */
  readonly keepAliveMs: number | null
  /** Models of the start stay, whatever `keepAliveMs` says. */
  readonly pinsStart: boolean
  readonly modelsMax: number
  /** How long somebody waits for a load. */
  readonly loadWaitMs: number
  /** A load that has failed is not tried again before this. */
  readonly retryMs: number
  /** Generations that may wait for a slot of one model. */
  readonly waitingMax: number
}

export type PoolEvent =
  | { readonly type: 'model_loaded'; readonly model: string; readonly driver: string; readonly reason: string }
  | { readonly type: 'model_unloaded'; readonly model: string; readonly why: string }
  | { readonly type: 'model_failed'; readonly model: string; readonly error: FabricError }
  | (HostEvent & { readonly model: string })

export type PoolPorts = {
  readonly clock: Clock
  /** A host of its own for each load. */
  readonly open: (entry: CatalogueEntry, onEvent: (event: HostEvent) => void) => ComputeHost
  readonly request: (entry: CatalogueEntry, memoryBytesMax: number) => LoadRequest
  /** Estimate of what a model takes, bytes. */
  readonly estimate: (entry: CatalogueEntry) => number
  /** Bytes for all models together, and what of it the machine can give now. */
  readonly memory: () => { readonly totalBytes: number; readonly freeBytes: number }
  readonly onEvent: (event: PoolEvent) => void
}

const NS_PER_MS = 1_000_000n
/** Between the end of one use and the next there may be a moment: no model goes within it. */
const LINGER_MS = 1_000
/** A host that hangs is found out by others. */
const METRICS_MS = 1_000

export class ModelPool implements ModelRunner {
  readonly #options: PoolOptions
  readonly #ports: PoolPorts
  readonly #closing = new AbortController()
  readonly #room: Room
  #members: readonly Member[] = []

  constructor(options: PoolOptions, ports: PoolPorts) {
    this.#options = options
    this.#ports = ports
    this.#room = new Room(options, {
      ...{ clock: ports.clock, estimate: ports.estimate, memory: ports.memory },
      members: () => this.#members,
      isPinned: (member) => this.#isPinned(member),
      unload: (member) => this.unload(member, 'room for another'),
    })
  }

  /** Those of the start first, the chat model before the others. */
  get members(): readonly Member[] {
    return this.#members
  }

  /**
   * Takes note of what is installed; what is in memory and no longer installed stays until nobody uses it.
   *
   * @param startCount  as many of the entries that are new, from the first, belong to the start of the node
   */
  setEntries(entries: readonly CatalogueEntry[], startCount = 0): void {
    const kept = entries.map((entry, index) => {
      const member = this.#members.find(({ entry: { id, digest } }) => id === entry.id && digest === entry.digest)
      if (member === undefined) return new Member(entry, index < startCount)
      member.isGone = false
      if (!member.isHere) member.entry = entry
      return member
    })
    const gone = this.#members.filter((member) => !kept.includes(member) && (member.isHere || member.isBusy))
    this.#members = [...kept, ...gone]
    for (const member of gone) {
      member.isGone = true
      if (!member.isBusy) this.#becameIdle(member)
    }
  }

  find(modelDigest: Digest): NodeModel | undefined {
    return this.#holding(modelDigest).find(({ ready }) => ready !== undefined)?.ready
  }

  facts(modelDigest: Digest): ModelFacts | undefined {
    return this.#holding(modelDigest).find(({ facts }) => facts !== undefined)?.facts
  }

  async use<T>(modelDigest: Digest, signal: AbortSignal, work: (model: NodeModel) => Promise<T>): Promise<T> {
    const member = this.#bestOf(modelDigest)
    if (member === undefined) throw new FabricError('CF_MODEL_UNKNOWN')
    return this.#use(member, signal, work)
  }

  async useNamed<T>(id: string, signal: AbortSignal, work: (model: NodeModel) => Promise<T>): Promise<T> {
    const member = this.named(id)
    // The node is not ready, and says so, rather than let everybody wait for what may be minutes.
    if (member.isStarting) throw starting(member)
    return this.#use(member, signal, work)
  }

  /** Keeps a model from being unloaded, wherever it is. @returns ends that, once */
  engage(modelDigest: Digest): () => void {
    const member = this.#bestOf(modelDigest)
    return member === undefined ? () => undefined : this.#engage(member)
  }

  /** The first load of some model of the start has neither succeeded nor failed. */
  get isStarting(): boolean {
    return this.#members.some((member) => member.isStarting)
  }

  /** @throws FabricError CF_MODEL_UNKNOWN */
  named(id: string): Member {
    const member = this.#members.find(({ entry, isGone }) => entry.id === id && !isGone)
    if (member !== undefined) return member
    throw new FabricError('CF_MODEL_UNKNOWN', { installed: this.#members.map(({ entry }) => entry.id).join(', ') })
  }

  /** Loads a model of the start, however long it takes. @throws FabricError what its load fails with */
  async loadFirst(member: Member): Promise<void> {
    await this.#loading(member)
  }

  /**
   * Loads a model and leaves it to its keep-alive.
   *
   * @param keepAliveMs  in place of the pool's, until it is unloaded
   * @throws FabricError as `use`
   */
  async load(member: Member, signal: AbortSignal, keepAliveMs?: number | null): Promise<void> {
    await this.#use(member, signal, async () => {
      if (keepAliveMs !== undefined && member.resident !== undefined) member.resident.keepAliveMs = keepAliveMs
    })
  }

  /** @param why  for the log. @throws FabricError CF_MODEL_IN_USE */
  unload(member: Member, why: string): Promise<void> {
    if (member.isBusy || member.loading !== undefined)
      throw new FabricError('CF_MODEL_IN_USE', { model: member.entry.id })
    member.idle?.abort()
    const { resident } = member
    if (resident === undefined) return Promise.resolve()
    member.unloading ??= this.#close(member, resident, why)
    return member.unloading
  }

  /** Every model that is in memory, on its way there or back, or whose load has failed. */
  async running(): Promise<readonly RunningModelView[]> {
    const shown = this.#members.filter(({ state }) => state !== 'absent')
    const { clock } = this.#ports
    return Promise.all(
      shown.map(async (member) => {
        const metrics = await this.measure(member)
        return runningView(member, metrics, this.#isPinned(member), { wallMs: clock.nowMs(), elapsedMs: this.#nowMs() })
      }),
    )
  }

  /** Of every model that was in memory once. */
  async readings(): Promise<readonly EngineReading[]> {
    const read = this.#members.map(async (member) => engineReading(member, await this.measure(member)))
    return (await Promise.all(read)).filter((reading) => reading !== undefined)
  }

  /** Reads what a model's host counts. @returns undefined where none answers */
  async measure({ resident, totals }: Member): Promise<BackendMetrics | undefined> {
    if (resident?.loadedMs === undefined) return undefined
    const asked = resident.host.metrics().catch(() => undefined)
    const metrics = await withinMs(this.#ports.clock, METRICS_MS, asked)
    if (metrics === undefined || metrics === LATE) return undefined
    totals.read(metrics)
    return metrics
  }

  /** Ends every host; who waits for a model is told so. */
  async close(): Promise<void> {
    this.#closing.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    this.#room.changed()
    for (const member of this.#members) member.idle?.abort()
    await Promise.all(this.#members.map(({ resident }) => resident?.host.close()))
    await Promise.allSettled(this.#members.map(({ loading }) => loading))
  }

  #holding(modelDigest: Digest): readonly Member[] {
    return this.#members.filter(({ entry }) => entry.digest === modelDigest)
  }

  /** One that is in memory already, of those that share a file. */
  #bestOf(modelDigest: Digest): Member | undefined {
    const holding = this.#holding(modelDigest)
    return holding.find(({ ready }) => ready) ?? holding.find(({ loading }) => loading) ?? holding[0]
  }

  async #use<T>(member: Member, signal: AbortSignal, work: (model: NodeModel) => Promise<T>): Promise<T> {
    this.#closing.signal.throwIfAborted()
    const leave = this.#engage(member)
    try {
      return await work(member.ready ?? (await this.#loaded(member, signal)))
    } finally {
      leave()
    }
  }

  #engage(member: Member): () => void {
    member.uses += 1
    member.idle?.abort()
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      member.uses -= 1
      if (!member.isBusy) this.#becameIdle(member)
    }
  }

  /** Waits for the load that is under way, or begins one. */
  async #loaded(member: Member, signal: AbortSignal): Promise<NodeModel> {
    const { clock } = this.#ports
    const { failure } = member
    if (failure !== undefined && this.#nowMs() - failure.atMs < this.#options.retryMs) throw failure.error
    const either = AbortSignal.any([signal, this.#closing.signal])
    const model = await withinMs(clock, this.#options.loadWaitMs, this.#loading(member), either)
    if (model === LATE) throw starting(member)
    return model
  }

  #loading(member: Member): Promise<NodeModel> {
    if (member.loading !== undefined) return member.loading
    const loading = this.#load(member).finally(() => {
      member.loading = undefined
      this.#room.changed()
    })
    // Everybody may have stopped waiting for it.
    loading.catch(() => undefined)
    member.loading = loading
    return loading
  }

  async #load(member: Member): Promise<NodeModel> {
    member.failure = undefined
    try {
      await member.unloading
      const take = ({ need, granted }: Granted) => ({ resident: this.#open(member, need), granted })
      const { resident, granted } = await this.#room.make(member, take, this.#closing.signal)
      await this.#bringUp(member, resident, granted)
      return resident.model
    } catch (error) {
      const told = error instanceof FabricError ? error : new FabricError('CF_MODEL_LOAD_FAILED', {}, error)
      if (this.#closing.signal.aborted) throw told
      // That others are busy says nothing of the model.
      if (told.code !== 'CF_WORKER_STARTING') member.failure = { error: told, atMs: this.#nowMs() }
      this.#ports.onEvent({ type: 'model_failed', model: member.entry.id, error: told })
      throw told
    } finally {
      member.hasSettled = true
    }
  }

  #open(member: Member, memoryBytes: number): Resident {
    const { entry } = member
    const speed = new RateMeter(() => this.#nowMs())
    const host = this.#ports.open(entry, (event) => {
      if (event.type === 'host_lost') member.restartCount += 1
      this.#ports.onEvent({ ...event, model: entry.id })
    })
    const model = new NodeModel(entry, host, this.#options.waitingMax, speed)
    const keepAliveMs = this.#keepAliveOf(member)
    const resident: Resident = { host, model, speed, memoryBytes, keepAliveMs, loadedMs: undefined }
    member.resident = resident
    return resident
  }

  async #bringUp(member: Member, resident: Resident, memoryBytesMax: number): Promise<void> {
    try {
      const loaded = await resident.model.load(this.#ports.request(member.entry, memoryBytesMax))
      this.#closing.signal.throwIfAborted()
      member.loaded = loaded
      member.facts = resident.model.facts
      resident.loadedMs = this.#ports.clock.nowMs()
      member.loadCount += 1
      member.lastUsedMs = this.#nowMs()
      const { kind: driver, reason } = loaded.driver
      this.#ports.onEvent({ type: 'model_loaded', model: member.entry.id, driver, reason })
      if (!member.isBusy) this.#becameIdle(member)
    } catch (error) {
      await resident.host.close()
      member.resident = undefined
      throw error
    }
  }

  async #close(member: Member, resident: Resident, why: string): Promise<void> {
    await this.measure(member)
    await resident.host.close()
    member.resident = undefined
    member.unloading = undefined
    member.unloadCount += 1
    if (member.isGone) this.#forget(member)
    this.#room.changed()
    this.#ports.onEvent({ type: 'model_unloaded', model: member.entry.id, why })
  }

  #isPinned({ isStart, resident }: Member): boolean {
    return isStart && this.#options.pinsStart && resident?.keepAliveMs === null
  }

  #keepAliveOf({ isStart, resident }: Member): number | null {
    if (resident !== undefined) return resident.keepAliveMs
    return isStart && this.#options.pinsStart ? null : this.#options.keepAliveMs
  }

  /** Others may have its room now; without them it goes when its time is over. */
  #becameIdle(member: Member): void {
    member.lastUsedMs = this.#nowMs()
    member.idle?.abort()
    this.#room.changed()
    const keepAliveMs = member.isGone ? 0 : this.#keepAliveOf(member)
    if (member.isGone && !member.isHere) this.#forget(member)
    if (member.ready === undefined || keepAliveMs === null || this.#closing.signal.aborted) return
    const stop = new AbortController()
    member.idle = stop
    void this.#expire(member, Math.max(LINGER_MS, keepAliveMs), stop.signal)
  }

  #forget(member: Member): void {
    this.#members = this.#members.filter((other) => other !== member)
  }

  async #expire(member: Member, afterMs: number, stop: AbortSignal): Promise<void> {
    const isOver = await this.#ports.clock.sleep(afterMs, stop).then(
      () => true,
      () => false,
    )
    if (!isOver || stop.aborted) return
    // It computes for nobody who has said so.
    if (member.isBusy) return this.#becameIdle(member)
    await this.unload(member, member.isGone ? 'its file was removed' : 'nobody has asked for it')
  }

  #nowMs(): number {
    return Number(this.#ports.clock.monotonicNs() / NS_PER_MS)
  }
}

function starting({ entry }: Member): FabricError {
  return new FabricError('CF_WORKER_STARTING', { model: entry.id })
}
