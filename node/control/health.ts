/** Liveness, readiness and the facts behind `cfab-node status`. */
import type { FastifyInstance } from 'fastify'
import { CONTROL_LIMITS } from './bounds.ts'
import type { ControlContext } from './context.ts'
import { statusJson } from './present.ts'

export function healthRoutes(server: FastifyInstance, context: ControlContext): void {
  server.get('/healthz', async () => ({ status: 'ok' }))

  server.get('/readyz', async (_request, reply) => {
    const { ready, reason } = context.app.ready()
    if (!ready) void reply.code(503).header('retry-after', String(CONTROL_LIMITS.retryAfterSeconds))
    return { ready, reason }
  })

  server.get('/api/v1/status', async () => statusJson(context.app.status(), context.app.ready()))
}
