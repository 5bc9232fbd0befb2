/** The routes by which a verdict is looked into and disputed. */
import type { FastifyInstance } from 'fastify'
import { DISPUTE_CLAIMS } from '../../core/verification/dispute.ts'
import { checkRole, currentCaller } from './caller.ts'
import type { ControlContext } from './context.ts'
import { object, refuseUnknown } from './fields.ts'
import { jobIdOf } from './p2p.ts'
import { disputeJson } from './present.ts'
import { badRequest } from './problem.ts'

type ById = { Params: { id: string } }

export function disputeRoutes(server: FastifyInstance, { app }: ControlContext): void {
  server.get<ById>('/api/v1/p2p/jobs/:id/evidence', async (request, reply) => {
    const id = jobIdOf(request.params.id)
    const { replica, withPrompt } = evidenceQuery(request.query)
    return reply
      .type('application/octet-stream')
      .header('content-disposition', `attachment; filename="${id.slice(0, 12)}.cfab-evidence"`)
      .send(Buffer.from(app.evidence(id, replica, withPrompt)))
  })

  server.post<ById>('/api/v1/p2p/jobs/:id/disputes', async (request, reply) => {
    const id = jobIdOf(request.params.id)
    const fields = object(request.body, 'body')
    refuseUnknown(fields, new Set(['replica', 'claim']))
    const { replica } = fields
    const claim = DISPUTE_CLAIMS.find((one) => one === fields['claim'])
    if (claim === undefined) throw badRequest('claim', DISPUTE_CLAIMS.join(' or '))
    if (typeof replica !== 'number' || !isReplica(String(replica))) throw badRequest('replica', REPLICA)
    return reply.code(202).send(disputeJson(await app.dispute(id, replica, claim)))
  })
}

const REPLICA = 'the index of a replica'

function isReplica(text: string): boolean {
  return /^[0-9]$/.test(text)
}

/** A prompt is its owner's to show: whoever may only read the node may not. @throws CF_CONTROL_BAD_REQUEST, CF_CONTROL_FORBIDDEN */
function evidenceQuery(query: unknown): { readonly replica: number | undefined; readonly withPrompt: boolean } {
  const fields = object(query, 'query')
  refuseUnknown(fields, new Set(['replica', 'prompt']))
  const { replica, prompt } = fields
  if (prompt !== undefined && prompt !== 'true' && prompt !== 'false') throw badRequest('prompt', 'true or false')
  if (replica !== undefined && (typeof replica !== 'string' || !isReplica(replica)))
    throw badRequest('replica', REPLICA)
  if (prompt === 'true') checkRole(currentCaller(), 'user')
  return { replica: replica === undefined ? undefined : Number(replica), withPrompt: prompt === 'true' }
}
