/** The OpenAI-compatible routes under /v1. */
import type { FastifyInstance } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import { completeChat } from './chat.ts'
import type { ControlContext } from './context.ts'
import { modelJson } from './present.ts'

export function openAiRoutes(server: FastifyInstance, context: ControlContext): void {
  server.get('/v1/models', async () => ({ object: 'list', data: context.app.models().map(modelJson) }))

  server.get<{ Params: { id: string } }>('/v1/models/:id', async (request) => {
    const model = context.app.models().find((known) => known.id === request.params.id)
    if (model === undefined) throw new FabricError('CF_MODEL_UNKNOWN', { param: 'model' })
    return modelJson(model)
  })

  server.post('/v1/chat/completions', async (request, reply) => completeChat(context, request, reply))
}
