/** The routes of a swarm of separate machines: letting peers in, and the roster that draws depend on. */
import type { FastifyInstance } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import { parsePeerId } from '../../core/ids.ts'
import type { ControlContext } from './context.ts'
import { credits, integer, object, optional, parsed, refuseUnknown, unsigned64 } from './fields.ts'

const BINARY = 'application/octet-stream'
const SECOND_MS = 1_000
/** Half a year: an invite is a key to the swarm. */
const LIFETIME_SECONDS_MAX = 15_552_000
const LIFETIME_SECONDS = 3_600
const INVITE_FIELDS = new Set(['for', 'expires_seconds', 'credits'])
const peer = parsed(parsePeerId, 'an id that begins with cf1')

export function swarmRoutes(server: FastifyInstance, { app }: ControlContext): void {
  server.post('/api/v1/p2p/invites', async (request) => {
    const fields = object(request.body ?? {}, 'body')
    refuseUnknown(fields, INVITE_FIELDS)
    const seconds = optional(fields, 'expires_seconds', integer(1, LIFETIME_SECONDS_MAX)) ?? LIFETIME_SECONDS
    const forPeer = optional(fields, 'for', peer) ?? null
    const grant = optional(fields, 'credits', credits) ?? null
    return { invite: await app.invite({ forPeer, lifetimeMs: seconds * SECOND_MS, grant }), expires_seconds: seconds }
  })

  server.get('/api/v1/p2p/roster', async (request, reply) => {
    const query = object(request.query, 'query')
    refuseUnknown(query, new Set(['epoch']))
    const epoch = optional(query, 'epoch', unsigned64)
    const roster = app.roster(epoch)
    if (roster === undefined) throw new FabricError('CF_ROSTER_UNKNOWN', { epoch: String(epoch ?? 'current') })
    return reply.type(BINARY).send(Buffer.from(roster))
  })
}
