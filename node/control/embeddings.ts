/** `POST /v1/embeddings`: texts become unit vectors, in jobs that run side by side and answer as one list. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { LIMITS } from '../../core/limits.ts'
import type { JobHandle, JobOutcome } from '../runtime/app.ts'
import { type ControlContext, idempotencyKeyOf } from './context.ts'
import { type EmbeddingRequest, parseEmbeddingRequest } from './embedding-request.ts'
import { base64Of } from './floats.ts'
import { follow } from './follow.ts'
import { type JobGroup, withJobs } from './job-group.ts'
import { modelNamed } from './models.ts'
import { fabricMember, failureOf } from './outcome.ts'

type Embedding = { readonly handle: JobHandle; readonly vectors: readonly Float32Array[]; readonly ending: JobOutcome }

export async function embedTexts(
  context: ControlContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const wish = parseEmbeddingRequest(request.body, idempotencyKeyOf(request), (name) =>
    modelNamed(context.app, name, 'embedding'),
  )
  const blamed = (job: number, text: number): string =>
    wish.isList ? `input[${job * LIMITS.embeddingTextCountMax + text}]` : 'input'
  return withJobs(context, request, reply, wish.jobs, blamed, async (group) => {
    const done = await Promise.all(
      group.handles.map((handle, index) => vectorsOf(context, group, handle, textCount(wish, index))),
    )
    return embeddingList(wish, done)
  })
}

function textCount({ jobs }: EmbeddingRequest, index: number): number {
  const input = jobs[index]?.input
  return input?.task === 'embedding' ? input.texts.length : 0
}

/** @throws  what the job failed with */
async function vectorsOf(
  context: ControlContext,
  group: JobGroup,
  handle: JobHandle,
  count: number,
): Promise<Embedding> {
  let vectors: readonly Float32Array[] = []
  for await (const event of follow(handle, context.bounds.outcomeWaitMs, context.clock, group.signal)) {
    if (event.type === 'vectors') vectors = event.vectors
    if (event.type === 'finish' || event.type === 'outcome') group.complete(handle)
    if (event.type !== 'outcome') continue
    if (vectors.length !== count) throw failureOf(handle.id, event)
    return { handle, vectors, ending: event }
  }
  throw group.signal.reason
}

function embeddingList({ model, encoding }: EmbeddingRequest, done: readonly Embedding[]): object {
  const tokens = done.reduce((sum, { handle }) => sum + handle.promptTokens, 0)
  const members = done.map(({ handle, ending }) => fabricMember(handle, ending))
  return {
    object: 'list',
    data: done
      .flatMap(({ vectors }) => vectors)
      .map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: encoding === 'base64' ? base64Of(vector) : Array.from(vector),
      })),
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
    cfab: members.length === 1 ? members[0] : { jobs: members },
  }
}
