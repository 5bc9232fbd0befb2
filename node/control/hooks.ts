/** What happens to every request before and after its route: guards, caller, rate, role, figures. No route can leave one out. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import { asCaller, type Caller, type CallerOptions, callerOf, checkRole } from './caller.ts'
import type { ControlContext } from './context.ts'
import { hangUpOnStall } from './event-stream.ts'
import { checkHost, checkOrigin } from './guard.ts'
import { roleOf } from './operations.ts'
import { RateBuckets } from './rate.ts'

const NS_PER_SECOND = 1_000_000_000

export function addHooks(
  server: FastifyInstance,
  context: ControlContext,
  options: CallerOptions,
  ownPort: () => number,
): void {
  const callers = new WeakMap<FastifyRequest, Caller>()
  const buckets = new RateBuckets()
  server.addHook('onRequest', async (request, reply) => {
    // The library's own hook does not hear of an answer whose client has gone.
    const beganNs = context.clock.monotonicNs()
    reply.raw.once('close', () => {
      const seconds = Number(context.clock.monotonicNs() - beganNs) / NS_PER_SECOND
      context.metrics.answered(request, reply.statusCode, seconds)
    })
    checkHost(request, ownPort(), context.guard)
    if (checkOrigin(request, reply, context.guard)) return reply
    const role = roleOf(request.method, request.routeOptions.url)
    if (role !== 'open') {
      const caller = callerOf(request, options, context.keys)
      callers.set(request, caller)
      // Before the role: a key that is refused all the time is refused at its rate.
      takeToken(buckets, caller, context, reply)
      checkRole(caller, role)
    }
    if (context.draining.aborted) throw new FabricError('CF_CONTROL_SHUTTING_DOWN')
    return undefined
  })
  // The last hook before the route: reading the body would lose what is entered earlier.
  server.addHook('preHandler', (request, _reply, done) => {
    const caller = callers.get(request)
    if (caller === undefined) done()
    else asCaller(caller, done)
  })
  server.addHook('onSend', (_request, reply, _payload, done) => {
    hangUpOnStall(reply.raw, context.bounds.stalledReaderMs)
    done()
  })
}

/** @throws CF_CONTROL_RATE_LIMITED; its answer has the headers too */
function takeToken(buckets: RateBuckets, caller: Caller, { clock }: ControlContext, reply: FastifyReply): void {
  const { headers, refusal } = buckets.take(caller, clock.monotonicNs())
  void reply.headers(headers)
  if (refusal !== undefined) throw refusal
}
