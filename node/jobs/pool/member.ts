/** One model that this node could run: what it is, whether it is in memory, who needs it there. */
import type { FabricError } from '../../../core/errors.ts'
import type { ModelFacts } from '../../../core/job/judge.ts'
import type { Backend, LoadedModel } from '../../../models/backend.ts'
import type { CatalogueEntry } from '../../../models/catalogue.ts'
import type { HostState } from '../../hosts/supervisor.ts'
import type { NodeModel } from '../model.ts'
import type { RateMeter } from './rate-meter.ts'
import { EngineTotals } from './totals.ts'

export type ComputeHost = Backend & { readonly state: HostState }

/** A model in memory, or on its way there. */
export type Resident = {
  readonly host: ComputeHost
  readonly model: NodeModel
  readonly speed: RateMeter
  /** Estimate of what it takes. */
  readonly memoryBytes: number
  /** Wall time; undefined until it is loaded. */
  loadedMs: number | undefined
  /** How long it stays without a job; null: for ever. */
  keepAliveMs: number | null
}

/** `absent`: not in memory, and nobody wants it there. `waiting`: for room. */
export type MemberState = HostState | 'absent' | 'waiting' | 'unloading'

export class Member {
  entry: CatalogueEntry
  /** Loaded when the node starts, rather than on demand. */
  readonly isStart: boolean
  /** Its file has been removed: it goes when nobody uses it any more. */
  isGone = false
  resident: Resident | undefined
  /** Shared by everybody who waits for it. */
  loading: Promise<NodeModel> | undefined
  unloading: Promise<void> | undefined
  /** What the last load failed with, and when by the clock that never goes back. */
  failure: { readonly error: FabricError; readonly atMs: number } | undefined
  /** Of the last load. */
  loaded: LoadedModel | undefined
  facts: ModelFacts | undefined
  /** Those who need it in memory. */
  uses = 0
  /** By the clock that never goes back. */
  lastUsedMs = 0
  /** Stops the clock that would unload it. */
  idle: AbortController | undefined
  readonly totals = new EngineTotals()
  /** Its first load has succeeded or failed. */
  hasSettled = false
  loadCount = 0
  unloadCount = 0
  restartCount = 0

  constructor(entry: CatalogueEntry, isStart: boolean) {
    this.entry = entry
    this.isStart = isStart
  }

  get isStarting(): boolean {
    return this.isStart && !this.hasSettled
  }

  /** In memory, or on its way there. */
  get isHere(): boolean {
    return this.resident !== undefined || this.loading !== undefined
  }

  /** Somebody uses it, or it computes. */
  get isBusy(): boolean {
    return this.uses > 0 || (this.resident?.model.running ?? 0) > 0
  }

  /** The model when it can be used now, or when its host is back. */
  get ready(): NodeModel | undefined {
    const { resident, unloading } = this
    return unloading === undefined && resident?.loadedMs !== undefined ? resident.model : undefined
  }

  get state(): MemberState {
    if (this.unloading !== undefined) return 'unloading'
    if (this.resident !== undefined) return this.resident.host.state
    if (this.loading !== undefined) return this.isStarting ? 'starting' : 'waiting'
    if (this.failure !== undefined) return 'failed'
    return this.isStarting ? 'starting' : 'absent'
  }
}
