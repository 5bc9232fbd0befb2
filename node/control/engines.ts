/** The routes of the models in memory: which there are and how busy, loading one, unloading one. */
import type { FastifyInstance } from 'fastify'
import type { RunningModelView } from '../runtime/app.ts'
import { CONTROL_LIMITS } from './bounds.ts'
import type { ControlContext } from './context.ts'
import { type Fields, integer, object, refuseUnknown, required, text } from './fields.ts'
import { isoTime } from './present.ts'

/** A month. */
const KEEP_ALIVE_SECONDS_MAX = 31 * 86_400
const TENTH = 10
const model = text(CONTROL_LIMITS.modelIdCharsMax)

export function engineRoutes(server: FastifyInstance, { app, draining }: ControlContext): void {
  const running = async (): Promise<object> => ({ items: (await app.running()).map(runningJson) })

  server.get('/api/v1/models/ps', running)

  server.post('/api/v1/models/load', async (request) => {
    const fields = object(request.body, 'body')
    refuseUnknown(fields, new Set(['model', 'keep_alive_seconds']))
    await app.loadModel(required(fields, 'model', model), keepAliveMs(fields), draining)
    return running()
  })

  server.post('/api/v1/models/unload', async (request) => {
    const fields = object(request.body, 'body')
    refuseUnknown(fields, new Set(['model']))
    await app.unloadModel(required(fields, 'model', model))
    return running()
  })
}

/** Null is for ever; left out, it stays as long as any other. */
function keepAliveMs(fields: Fields): number | null | undefined {
  const { keep_alive_seconds: seconds } = fields
  if (seconds === undefined || seconds === null) return seconds
  return integer(0, KEEP_ALIVE_SECONDS_MAX)(seconds, 'keep_alive_seconds') * 1_000
}

function runningJson(view: RunningModelView): object {
  const timeOrNull = (ms: number | null): string | null => (ms === null ? null : isoTime(ms))
  return {
    ...{ id: view.id, task: view.task, state: view.state, reason: view.reason },
    bytes: view.bytes,
    memory_bytes: view.memoryBytes,
    resident_bytes: view.residentBytes,
    driver: view.driver?.kind ?? null,
    driver_reason: view.driver?.reason ?? null,
    engine: view.engine,
    slots: view.slots,
    slots_busy: view.slotsBusy,
    waiting: view.waiting,
    tokens_per_second: Math.round(view.tokensPerSecond * TENTH) / TENTH,
    loaded: timeOrNull(view.loadedMs),
    idle_seconds: view.idleMs === null ? null : Math.floor(view.idleMs / 1_000),
    expires: timeOrNull(view.expiresMs),
    pinned: view.pinned,
  }
}
