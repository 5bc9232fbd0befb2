/** The OpenAI-compatible routes under /v1. */
import type { FastifyInstance } from 'fastify'
import { completeChat } from './chat.ts'
import { completeText } from './completions.ts'
import type { ControlContext } from './context.ts'
import { embedTexts } from './embeddings.ts'
import { modelNamed } from './models.ts'
import { modelJson } from './present.ts'

export function openAiRoutes(server: FastifyInstance, context: ControlContext): void {
  server.get('/v1/models', async () => ({ object: 'list', data: context.app.models().map(modelJson) }))

  server.get<{ Params: { id: string } }>('/v1/models/:id', async (request) =>
    modelJson(modelNamed(context.app, request.params.id)),
  )

  server.post('/v1/chat/completions', async (request, reply) => completeChat(context, request, reply))

  server.post('/v1/completions', async (request, reply) => completeText(context, request, reply))

  server.post('/v1/embeddings', async (request, reply) => embedTexts(context, request, reply))
}
