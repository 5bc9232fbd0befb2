/** The routes of jobs, receipts and peers under /api/v1/p2p. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import { type JobId, parseJobId } from '../../core/ids.ts'
import { type JobHandle, type JobProgress, type JobView, OUTCOME_KINDS, type OutcomeKind } from '../runtime/app.ts'
import { errorFields } from '../runtime/telemetry.ts'
import { CONTROL_LIMITS } from './bounds.ts'
import { type ControlContext, idempotencyKeyOf } from './context.ts'
import { EventStream, hangUpSignal } from './event-stream.ts'
import { object, refuseUnknown } from './fields.ts'
import { follow } from './follow.ts'
import { parseIntentRequest, parseSignedIntent } from './intent-request.ts'
import { linkedSignal } from './linked-signal.ts'
import { modelNamed } from './models.ts'
import { receiptUrl } from './outcome.ts'
import { readPage } from './paging.ts'
import { jobJson, peerJson, progressJson, quoteJson } from './present.ts'
import { badRequest } from './problem.ts'

type ById = { Params: { id: string } }
const BINARY = 'application/octet-stream'
/** A watcher of events asked for the verdict: it waits as long as the job may take, which the hold's deadline bounds. */
const WATCH_MS = 3_600_000

export function p2pRoutes(server: FastifyInstance, context: ControlContext): void {
  const { app } = context
  server.post('/api/v1/p2p/intents', { bodyLimit: CONTROL_LIMITS.signedIntentBytesMax }, async (request, reply) =>
    submit(context, request, reply),
  )

  server.get('/api/v1/p2p/jobs', async (request) => listJobs(context, request.query))

  server.get<ById>('/api/v1/p2p/jobs/:id', async (request) => jobJson(jobOf(context, request.params.id)))

  server.get<ById>('/api/v1/p2p/jobs/:id/events', async (request, reply) =>
    watch(context, jobOf(context, request.params.id), reply),
  )

  server.delete<ById>('/api/v1/p2p/jobs/:id', async (request, reply) => {
    const { id } = jobOf(context, request.params.id)
    app.cancel(id)
    return reply.code(202).send(jobJson(jobOf(context, id)))
  })

  server.get<ById>('/api/v1/p2p/receipts/:id', async (request, reply) => {
    const id = jobIdOf(request.params.id)
    const receipt = app.receipt(id)
    if (receipt === undefined) throw new FabricError('CF_JOB_NOT_SETTLED', { job: id, phase: jobOf(context, id).phase })
    return reply
      .type(BINARY)
      .header('content-disposition', `attachment; filename="${id.slice(0, 12)}.cfab-receipt"`)
      .send(Buffer.from(receipt))
  })

  server.get('/api/v1/p2p/peers', async () => ({ items: app.peers().map(peerJson) }))

  server.get('/api/v1/p2p/genesis', async (_request, reply) => reply.type(BINARY).send(Buffer.from(app.genesis())))
}

/** @throws CF_CONTROL_BAD_REQUEST */
export function jobIdOf(text: string): JobId {
  const id = parseJobId(text)
  if (id === undefined) throw badRequest('job_id', '64 lower-case hexadecimal digits')
  return id
}

export function jobOf(context: ControlContext, text: string): JobView {
  const id = jobIdOf(text)
  const job = context.app.job(id)
  if (job === undefined) throw new FabricError('CF_JOB_UNKNOWN', { param: 'job_id' })
  return job
}

async function submit(context: ControlContext, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const body = request.body
  if (body instanceof Uint8Array) {
    const { envelope, inputs } = parseSignedIntent(body)
    return accepted(await context.app.submitSigned(envelope, inputs, context.draining), reply)
  }
  const wish = parseIntentRequest(body, idempotencyKeyOf(request))
  modelNamed(context.app, wish.job.model, wish.job.input.task === 'embedding' ? 'embedding' : 'chat')
  if (wish.dryRun) return reply.code(200).send(quoteJson(await context.app.quote(wish.job)))
  return accepted(await context.app.submit(wish.job, context.draining), reply)
}

function accepted(handle: JobHandle, reply: FastifyReply): FastifyReply {
  return reply.code(202).send({
    job_id: handle.id,
    prompt_tokens: handle.promptTokens,
    repeated: handle.repeated,
    receipt_url: receiptUrl(handle.id),
    events_url: `/api/v1/p2p/jobs/${handle.id}/events`,
  })
}

/**
 * Newest first, by creation time.
 *
 * Why a page may be a little longer than asked: the cursor is a millisecond, and jobs that share the last one must not fall between pages.
 */
function listJobs(context: ControlContext, query: unknown): object {
  const fields = object(query, 'query')
  refuseUnknown(fields, new Set(['limit', 'cursor']))
  const { limit, before } = readPage(fields)
  const found = context.app.jobs(limit + CONTROL_LIMITS.pageTiesMax, before === undefined ? undefined : Number(before))
  const lastMs = found[limit - 1]?.createdMs
  const items = found.filter((job, index) => index < limit || job.createdMs === lastMs)
  return {
    items: items.map(jobJson),
    next_cursor: found.length > items.length && lastMs !== undefined ? String(lastMs) : null,
  }
}

/** Server-sent events from the job's beginning to its outcome; what a restart has forgotten is told from what the job became. */
async function watch(context: ControlContext, job: JobView, reply: FastifyReply): Promise<FastifyReply> {
  const leave = context.seats.take()
  const either = linkedSignal(hangUpSignal(reply.raw), context.draining)
  const { signal } = either
  try {
    const handle = context.app.watch(job.id)
    const stream = EventStream.open(reply, context.bounds, context.clock)
    const events = handle === undefined ? remembered(job) : follow(handle, WATCH_MS, context.clock, signal)
    await forward(job, events, stream, signal).catch((error: unknown) => {
      if (!signal.aborted && !reply.raw.destroyed)
        context.log.error('event_stream_broke', { job: job.id, ...errorFields(error) })
    })
    stream.end()
  } finally {
    either.abort()
    leave()
  }
  return reply
}

async function forward(
  job: JobView,
  events: AsyncIterable<JobProgress> | Iterable<JobProgress>,
  stream: EventStream,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of events) await stream.event(event.type, JSON.stringify(progressJson(job, event)), signal)
}

function* remembered(job: JobView): Generator<JobProgress, void> {
  yield { type: 'phase', phase: job.phase, atMs: job.createdMs, detail: '' }
  if (job.text !== null && job.text !== '') yield { type: 'tokens', ids: [], text: job.text }
  const settled = job.cost !== null && job.refund !== null
  yield {
    type: 'outcome',
    outcome: settled ? outcomeOf(job.outcome) : 'pending',
    assurance: job.assurance ?? '',
    reason: job.reason ?? '',
    receiptId: job.id,
    cost: job.cost ?? 0n,
    refund: job.refund ?? 0n,
  }
}

function outcomeOf(text: string | null): OutcomeKind | 'pending' {
  return OUTCOME_KINDS.find((kind) => kind === text) ?? 'pending'
}
