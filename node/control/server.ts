/** The HTTP control plane: one server, its guards, its routes, its errors, and an orderly stop. */
import type { Socket } from 'node:net'
import { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import { InvariantError } from '../../core/invariant.ts'
import { errorFields } from '../runtime/telemetry.ts'
import { CONTROL_LIMITS } from './bounds.ts'
import { Budgets } from './budgets.ts'
import type { CallerOptions } from './caller.ts'
import { type ControlBounds, type ControlContext, type ControlPorts, Seats } from './context.ts'
import { creditRoutes } from './credits.ts'
import { disputeRoutes } from './disputes.ts'
import { engineRoutes } from './engines.ts'
import { type GuardOptions, isLoopback } from './guard.ts'
import { healthRoutes } from './health.ts'
import { historyRoutes } from './history.ts'
import { addHooks } from './hooks.ts'
import { SIGNED_INTENT_TYPE } from './intent-request.ts'
import { keyRoutes } from './keys.ts'
import { type LimitOptions, Limits } from './limits.ts'
import { meteredApp } from './metered.ts'
import { Metrics } from './metrics.ts'
import { openAiRoutes } from './openai.ts'
import { p2pRoutes } from './p2p.ts'
import { badRequest, fabricErrorOf, problemOf } from './problem.ts'
import { simulateRoutes } from './simulate.ts'
import { swarmRoutes } from './swarm.ts'
import { verificationRoutes } from './verification.ts'

export type ControlOptions = GuardOptions &
  CallerOptions &
  LimitOptions & {
    /** 0 picks a free one. */
    readonly port: number
    /** Whether /metrics is served. */
    readonly metrics: boolean
    /** Overrides of CONTROL_LIMITS, for tests. */
    readonly bounds?: Partial<ControlBounds>
  }

export type Control = {
  /** `http://127.0.0.1:7733`, without a path. */
  readonly address: string
  readonly port: number
  /** Every route that is served, as `GET /v1/models/:id`. */
  readonly routes: readonly string[]
  /** Refuses new requests, lets streams say goodbye, then closes. Safe to call twice. */
  stop(): Promise<void>
}

/**
 * Listens and serves.
 *
 * @throws CF_CONTROL_PORT_BUSY; CF_CONFIG_INVALID for an address that is not this machine's, or a non-loopback one without an API key
 */
export async function startControl(options: ControlOptions, ports: ControlPorts): Promise<Control> {
  if (!isLoopback(options.host) && options.apiKey === undefined) {
    throw new FabricError('CF_CONFIG_INVALID', { key: 'host', reason: 'an address beyond loopback needs an API key' })
  }
  const drain = new AbortController()
  const context = contextOf(options, ports, drain.signal)
  const server = createServer()
  let ownPort = options.port
  const routes: string[] = []
  server.addHook('onRoute', ({ method, url }) => {
    routes.push(...[method].flat().map((name) => `${name} ${url}`))
  })
  addHooks(server, context, options, () => ownPort)
  server.setErrorHandler((error: FastifyError, request, reply) => sendProblem(context, error, request, reply))
  server.setNotFoundHandler(() => {
    throw new FabricError('CF_CONTROL_NOT_FOUND')
  })
  healthRoutes(server, context)
  openAiRoutes(server, context)
  p2pRoutes(server, context)
  disputeRoutes(server, context)
  historyRoutes(server, context)
  simulateRoutes(server, context)
  swarmRoutes(server, context)
  verificationRoutes(server, context)
  creditRoutes(server, context)
  engineRoutes(server, context)
  keyRoutes(server, context)
  ownPort = await listen(server, options)
  return {
    address: `http://${urlHost(options.host)}:${ownPort}`,
    port: ownPort,
    routes,
    stop: once(() => stop(server, context, drain)),
  }
}

function contextOf(options: ControlOptions, ports: ControlPorts, draining: AbortSignal): ControlContext {
  const bounds = { ...CONTROL_LIMITS, ...options.bounds }
  const [budgets, metrics] = [new Budgets(ports), new Metrics()]
  const limits = new Limits(options, {
    ...{ ...ports, budgets },
    admitted: (task, promptTokens) => metrics.admitted(task, promptTokens),
    settled: (job) => metrics.settled(job),
  })
  return {
    ...ports,
    ...{ app: meteredApp(ports.app, limits), limits, budgets, metrics, bounds, draining },
    guard: options,
    hasMetrics: options.metrics,
    seats: new Seats(bounds.streamCountMax),
  }
}

function createServer(): FastifyInstance {
  const server = fastify({
    logger: false,
    bodyLimit: CONTROL_LIMITS.bodyBytesMax,
    requestTimeout: CONTROL_LIMITS.requestMs,
    forceCloseConnections: true,
    // The guard refuses a request without one with a code; Node.js would answer with nothing but a status.
    http: { requireHostHeader: false },
    return503OnClosing: false,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: CONTROL_LIMITS.modelIdCharsMax },
    clientErrorHandler: (_error, socket) => refuseRaw(socket),
    frameworkErrors: (_error: FastifyError, _request: FastifyRequest, reply: FastifyReply) => {
      const problem = problemOf(badRequest('url', 'a valid path'))
      void reply.code(problem.status).headers(problem.headers).send(problem.body)
    },
  })
  server.removeAllContentTypeParsers()
  server.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (_request: FastifyRequest, body: Buffer) => parseJson(body),
  )
  server.addContentTypeParser(
    SIGNED_INTENT_TYPE,
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      if (request.routeOptions.url !== '/api/v1/p2p/intents') throw badRequest('content-type', 'application/json')
      return body
    },
  )
  return server
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(UTF8.decode(body))
  } catch {
    throw badRequest('body', 'valid JSON in UTF-8')
  }
}

/** What is not HTTP at all gets the same shape, written by hand: there is no response object yet. */
function refuseRaw(socket: Socket): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const body = JSON.stringify(
    problemOf(new FabricError('CF_CONTROL_BAD_REQUEST', { reason: 'not an HTTP request' })).body,
  )
  const head = `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`
  socket.end(head + body)
}

function sendProblem(context: ControlContext, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  // A bug leaves memory in a state that nobody has thought about: the process must end and start again from its journal.
  if (error instanceof InvariantError) {
    setImmediate(() => {
      throw error
    })
  }
  const known = fabricErrorOf(error)
  context.metrics.refused(request, known?.code ?? 'CF_CONTROL_INTERNAL')
  const route = request.routeOptions.url ?? 'none'
  if (known !== undefined) context.log.debug('request_refused', { route, code: known.code })
  else if (!reply.raw.destroyed) context.log.error('request_failed', { route, ...errorFields(error) })
  const problem = problemOf(known ?? new FabricError('CF_CONTROL_INTERNAL'))
  void reply.code(problem.status).headers(problem.headers).send(problem.body)
}

async function listen(server: FastifyInstance, options: ControlOptions): Promise<number> {
  try {
    await server.listen({ host: options.host, port: options.port, exclusive: true })
  } catch (error) {
    await server.close()
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EADDRINUSE') throw new FabricError('CF_CONTROL_PORT_BUSY', { port: options.port }, error)
    throw new FabricError('CF_CONFIG_INVALID', { key: 'host', host: options.host, port: options.port }, error)
  }
  const address = server.server.address()
  return address !== null && typeof address === 'object' ? address.port : options.port
}

function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

async function stop(server: FastifyInstance, context: ControlContext, drain: AbortController): Promise<void> {
  drain.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
  const deadlineMs = context.clock.nowMs() + CONTROL_LIMITS.drainMs
  while (context.seats.taken > 0 && context.clock.nowMs() < deadlineMs) await context.clock.sleep(10)
  // What has settled meanwhile is written down; what has not is found again at the next start.
  context.limits.sweep()
  await server.close()
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= work()
    return running
  }
}
