/** Liveness, readiness, the facts behind `cfab-node status`, figures for monitoring, and the description of all routes. */
import type { FastifyInstance } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import { CONTROL_LIMITS } from './bounds.ts'
import type { ControlContext } from './context.ts'
import type { Readings } from './metrics.ts'
import { openApiDocument } from './openapi.ts'
import { statusJson } from './present.ts'

export function healthRoutes(server: FastifyInstance, context: ControlContext): void {
  const { app, limits, node, metrics } = context
  server.get('/healthz', async () => ({ status: 'ok' }))

  server.get('/readyz', async (_request, reply) => {
    const { ready, reason } = app.ready()
    if (!ready) void reply.code(503).header('retry-after', String(CONTROL_LIMITS.retryAfterSeconds))
    return { ready, reason }
  })

  server.get('/api/v1/status', async () => ({
    ...statusJson(app.status(), app.ready()),
    admission: { open_jobs: node.openJobs(), open_jobs_max: limits.openMaxima() },
  }))

  server.get('/metrics', async (_request, reply) => {
    if (!context.hasMetrics) throw new FabricError('CF_CONTROL_NOT_FOUND')
    limits.sweep()
    return reply.type(metrics.contentType).send(await metrics.text(await readingsOf(context)))
  })

  const document = openApiDocument(app.status().version)
  server.get('/openapi.json', async () => document)
}

async function readingsOf({ app, node, limits, seats }: ControlContext): Promise<Readings> {
  const { version, hostState, account, earned } = app.status()
  const accounts = Object.entries({ user: account, earned }).flatMap(([name, { spendable, held, pending }]) =>
    Object.entries({ spendable, held, pending }).map(([state, amount]) => ({ account: name, state, amount })),
  )
  return {
    ...{ version, hostState, accounts },
    openJobs: node.openJobs(),
    openJobPhases: limits.openIds().flatMap((id) => app.job(id)?.phase ?? []),
    slots: node.slots(),
    engines: await node.engines(),
    streams: seats.taken,
    peerStates: app.peers().map(({ state }) => state),
    rejects: node.rejects(),
    audits: node.audits(),
    mesh: node.mesh(),
  }
}
