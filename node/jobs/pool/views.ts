/** The pool as `models ps`, `status` and `/metrics` show it. */
import type { BackendMetrics } from '../../../models/backend.ts'
import type { EngineReading } from '../../runtime/access.ts'
import type { ModelView, RunningModelView } from '../../runtime/app.ts'
import type { Member } from './member.ts'

/** `wallMs`: wall time; `elapsedMs`: of the clock that never goes back. */
export type Times = { readonly wallMs: number; readonly elapsedMs: number }

export function modelView({ entry, loaded, ready }: Member): ModelView {
  const { id, task, digest, bytes, parameters, contextTokens, dimensions, createdMs } = entry
  return {
    ...{ id, task, digest, bytes, parameters, contextTokens, dimensions, createdMs },
    loaded: ready !== undefined,
    // What the file says stays true when it is no longer in memory.
    ...(loaded === undefined ? {} : { toolFormat: loaded.toolFormat }),
    ...(loaded?.thinkFormat === undefined ? {} : { thinkFormat: loaded.thinkFormat }),
  }
}

/** @param isPinned  never unloaded to make room */
export function runningView(
  member: Member,
  metrics: BackendMetrics | undefined,
  isPinned: boolean,
  times: Times,
): RunningModelView {
  const { entry, resident, loaded, state, failure, isBusy } = member
  const { id, task, bytes } = entry
  const idleMs = resident === undefined || isBusy ? null : times.elapsedMs - member.lastUsedMs
  const keepAliveMs = resident?.keepAliveMs ?? null
  return {
    ...{ id, task, state, bytes, reason: failure?.error.code ?? null },
    memoryBytes: resident?.memoryBytes ?? 0,
    residentBytes: metrics?.residentBytes ?? null,
    ...{ driver: loaded?.driver ?? null, engine: loaded?.engineId ?? null },
    ...slotsOf(member),
    tokensPerSecond: resident?.speed.perSecond ?? 0,
    loadedMs: resident?.loadedMs ?? null,
    idleMs,
    expiresMs: idleMs === null || keepAliveMs === null ? null : times.wallMs + Math.max(0, keepAliveMs - idleMs),
    pinned: isPinned,
  }
}

export function engineReading(member: Member, metrics: BackendMetrics | undefined): EngineReading | undefined {
  const { entry, loaded, totals, loadCount: loads, unloadCount: unloads, restartCount: restarts } = member
  if (loaded === undefined) return undefined
  const { slotsBusy, waiting } = slotsOf(member)
  return {
    ...{ model: entry.id, driver: loaded.driver.kind, slotsBusy, waiting, loads, unloads, restarts },
    ...totals.sum,
    residentBytes: metrics?.residentBytes ?? 0,
  }
}

/** Calls beyond the slots wait for one. */
function slotsOf({ ready }: Member): Pick<RunningModelView, 'slots' | 'slotsBusy' | 'waiting'> {
  const [slots, running] = [ready?.loaded?.slotCount ?? 0, ready?.running ?? 0]
  return { slots, slotsBusy: Math.min(slots, running), waiting: Math.max(0, running - slots) }
}
