/** What every route has at hand. */
import type { FastifyRequest } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { ApiKeys, KeyUsage, NodeGauges } from '../runtime/access.ts'
import type { App } from '../runtime/app.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import type { Logger } from '../runtime/telemetry.ts'
import type { Budgets } from './budgets.ts'
import { shortText } from './fields.ts'
import type { GuardOptions } from './guard.ts'
import type { Limits } from './limits.ts'
import type { Metrics } from './metrics.ts'

export type ControlPorts = {
  readonly app: App
  readonly keys: ApiKeys
  readonly usage: KeyUsage
  readonly node: NodeGauges
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}
export type ControlBounds = {
  readonly outcomeWaitMs: number
  readonly stalledReaderMs: number
  readonly streamCountMax: number
}

/** `app` counts what is submitted and spent to the caller of the request. */
export type ControlContext = ControlPorts & {
  readonly guard: GuardOptions
  readonly limits: Limits
  readonly budgets: Budgets
  readonly metrics: Metrics
  /** Whether /metrics is served. */
  readonly hasMetrics: boolean
  readonly bounds: ControlBounds
  readonly seats: Seats
  /** Aborts when the daemon stops: streams say so and end. */
  readonly draining: AbortSignal
}

/** Counts the clients that are being served; refusing one more is cheaper than serving all of them badly. */
export class Seats {
  readonly #countMax: number
  #taken = 0

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  get taken(): number {
    return this.#taken
  }

  /** @returns gives the seat back, once. @throws CF_CONTROL_TOO_MANY_STREAMS */
  take(): () => void {
    if (this.#taken >= this.#countMax) throw new FabricError('CF_CONTROL_TOO_MANY_STREAMS', { streams: this.#countMax })
    this.#taken += 1
    let held = true
    return () => {
      if (held) this.#taken -= 1
      held = false
    }
  }
}

/** @throws CF_CONTROL_BAD_REQUEST when the header is present and not of 1 to 128 bytes */
export function idempotencyKeyOf(request: FastifyRequest): string | undefined {
  const header = request.headers['idempotency-key']
  return header === undefined ? undefined : shortText(LIMITS.idempotencyKeyBytesMax)(header, 'Idempotency-Key')
}
