/** The route that simulates a swarm: `POST /api/v1/p2p/simulate`, answered with a report or with its picture. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { SimulationReport } from '../runtime/simulation.ts'
import type { ControlContext } from './context.ts'
import { hangUpSignal } from './event-stream.ts'
import { object, oneOf, optional, refuseUnknown } from './fields.ts'
import { parseSimulationRequest } from './simulate-request.ts'

const SVG = 'image/svg+xml'

export function simulateRoutes(server: FastifyInstance, context: ControlContext): void {
  server.post('/api/v1/p2p/simulate', async (request, reply) => simulate(context, request, reply))
}

async function simulate(context: ControlContext, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const wish = parseSimulationRequest(request.body)
  const wantsPicture = isPictureWanted(request)
  const leave = context.seats.take()
  try {
    const signal = AbortSignal.any([hangUpSignal(reply.raw), context.draining])
    const { report, svg } = await context.app.simulate(wish, signal)
    if (!wantsPicture) return await reply.send(simulationJson(report))
    // Opened as a page of its own it must not be able to run or load anything.
    return await reply
      .type(SVG)
      .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
      .send(svg)
  } finally {
    leave()
  }
}

/** `?format=` says it, else the Accept header. */
function isPictureWanted(request: FastifyRequest): boolean {
  const query = object(request.query, 'query')
  refuseUnknown(query, new Set(['format']))
  const format = optional(query, 'format', oneOf('json', 'svg'))
  if (format !== undefined) return format === 'svg'
  const accepted = (request.headers.accept ?? '').split(',').map((type) => type.split(';')[0]?.trim())
  return accepted.includes(SVG) && !accepted.includes('application/json')
}

/** The report with the names that the API writes: `settled_ms` for `settledMs`. */
export function simulationJson(report: SimulationReport): object {
  return Object.fromEntries(Object.entries(report).map(([name, value]) => [snakeCase(name), snakeCased(value)]))
}

function snakeCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCased)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [snakeCase(name), snakeCased(inner)]))
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
