/** The routes of the models in memory, described. */
import { DRIVER_KINDS } from '../../models/backend.ts'
import { MODEL_STATES } from '../runtime/app.ts'
import {
  count,
  flag,
  integerOrNull,
  json,
  list,
  type Operation,
  object,
  ok,
  oneOf,
  ref,
  type Schema,
  text,
  textOrNull,
  time,
} from './openapi-kit.ts'

const TAG = 'Models'
const timeOrNull: Schema = { ...time, type: ['string', 'null'] }
export const MODEL_STATE = oneOf(...MODEL_STATES)
/** Null before a model has been loaded. */
export const DRIVER: Schema = { enum: [...DRIVER_KINDS, null] }

export const ENGINE_SCHEMAS: Readonly<Record<string, Schema>> = {
  RunningModel: object({
    id: text,
    task: oneOf('chat', 'embedding'),
    state: MODEL_STATE,
    reason: { ...textOrNull, description: 'The code that its load failed with.' },
    bytes: { ...count, description: 'Of its file.' },
    memory_bytes: { ...count, description: 'Estimate of what it takes; 0 when it is not in memory.' },
    resident_bytes: { ...integerOrNull, description: 'Memory of its process.' },
    driver: DRIVER,
    driver_reason: { ...textOrNull, description: 'Why this one; empty when it is the best there is.' },
    engine: { ...textOrNull, description: 'As receipts name it.' },
    slots: count,
    slots_busy: count,
    waiting: count,
    tokens_per_second: { type: 'number', minimum: 0, description: 'Over the last ten seconds.' },
    loaded: timeOrNull,
    idle_seconds: { ...integerOrNull, description: 'Null while somebody uses it.' },
    expires: { ...timeOrNull, description: 'When it goes if nobody asks for it.' },
    pinned: { ...flag, description: 'Never unloaded to make room for another.' },
  }),
}

const RUNNING = object({ items: list(ref('RunningModel')) })

export const ENGINE_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'listRunningModels', method: 'GET', path: '/api/v1/models/ps', role: 'read', tag: TAG },
    summary: 'Models in memory, or on their way there or back, and those whose load has failed.',
    answers: ok('All of them.', RUNNING),
  },
  {
    ...{ id: 'loadModel', method: 'POST', path: '/api/v1/models/load', role: 'admin', tag: TAG },
    summary: 'Load an installed model before anybody asks for it.',
    body: json(
      object(
        { model: text },
        {
          keep_alive_seconds: {
            ...{ type: ['integer', 'null'], minimum: 0 },
            description:
              'How long it stays without a job, until it is unloaded; null: for ever. Left out: as any other.',
          },
        },
      ),
    ),
    answers: ok('It is loaded: the models in memory.', RUNNING),
    errors: [404],
  },
  {
    ...{ id: 'unloadModel', method: 'POST', path: '/api/v1/models/unload', role: 'admin', tag: TAG },
    summary: 'Unload a model that nobody uses. The next request for it loads it again.',
    body: json(object({ model: text })),
    answers: ok('It is not in memory: the models that are.', RUNNING),
    errors: [404, 409],
  },
]
