/** The jobs that answer one HTTP request: all are admitted or none, and they are cancelled together when nobody waits for them. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import type { JobHandle, JobRequest } from '../runtime/app.ts'
import { errorFields } from '../runtime/telemetry.ts'
import { type ControlContext, idempotencyKeyOf } from './context.ts'
import { hangUpSignal } from './event-stream.ts'
import { linkedSignal } from './linked-signal.ts'

export type JobGroup = {
  /** In the order of the requests; at least one. */
  readonly handles: readonly JobHandle[]
  readonly createdSeconds: number
  /** Aborts when the client hangs up or the daemon stops. */
  readonly signal: AbortSignal
  /** What the job produces is complete, or it has failed: from then on nothing cancels it. */
  readonly complete: (handle: JobHandle) => void
}

/** The field of the request that a job's input came from. @param text  which of the job's texts */
export type BlamedParam = (job: number, text: number) => string

/**
 * Submits the jobs, has them answered, and cancels what is still running when the answer has ended without it.
 *
 * Why jobs with an Idempotency-Key go on: their caller has said that it will come back for the same jobs.
 */
export async function withJobs(
  context: ControlContext,
  request: FastifyRequest,
  reply: FastifyReply,
  wishes: readonly JobRequest[],
  blamed: BlamedParam,
  answer: (group: JobGroup) => Promise<unknown>,
): Promise<unknown> {
  const isKeyed = idempotencyKeyOf(request) !== undefined
  const leave = context.seats.take()
  const hangUp = hangUpSignal(reply.raw)
  const either = linkedSignal(hangUp, context.draining)
  const { signal } = either
  const running = new Set<JobHandle>()
  try {
    const handles = await submitAll(context, wishes, blamed, isKeyed, signal)
    // One that an earlier request had started is not this one's to cancel.
    for (const handle of handles) if (!handle.repeated) running.add(handle)
    void reply.header('x-cfab-job', handles.map(({ id }) => id).join(', '))
    const createdSeconds = Math.floor(context.clock.nowMs() / 1000)
    return await answer({ handles, createdSeconds, signal, complete: (handle) => running.delete(handle) })
  } catch (error) {
    throw context.draining.aborted ? new FabricError('CF_CONTROL_SHUTTING_DOWN', {}, error) : error
  } finally {
    // A stop closes the connections that are left in the end: that is not a client who hangs up.
    const isStop = signal.aborted && signal.reason === context.draining.reason
    if (!isKeyed && !isStop) for (const handle of running) cancelQuietly(context, handle)
    either.abort()
    leave()
  }
}

/** @throws  the first refusal, after what was admitted beside it has been cancelled */
async function submitAll(
  context: ControlContext,
  wishes: readonly JobRequest[],
  blamed: BlamedParam,
  isKeyed: boolean,
  signal: AbortSignal,
): Promise<readonly JobHandle[]> {
  const results = await Promise.allSettled(wishes.map(async (wish) => context.app.submit(wish, signal)))
  const handles = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const index = results.findIndex(({ status }) => status === 'rejected')
  const refused = results[index]
  if (refused?.status !== 'rejected') return handles
  const refusal: unknown = refused.reason
  const comesBack = isKeyed && !(refusal instanceof FabricError && refusal.row.retry === 'never')
  if (!comesBack) for (const handle of handles) if (!handle.repeated) cancelQuietly(context, handle)
  throw withParam(refusal, (text) => blamed(index, text))
}

/** A text that is too long is one of several: the error names it. */
function withParam(error: unknown, blamed: (text: number) => string): unknown {
  const isTooLong = error instanceof FabricError && error.code === 'CF_JOB_CONTEXT_EXCEEDED'
  if (!isTooLong || error.detail['param'] !== undefined) return error
  const { index = 0, ...detail } = error.detail
  return new FabricError(error.code, { ...detail, param: blamed(Number(index)) }, error)
}

function cancelQuietly(context: ControlContext, handle: JobHandle): void {
  try {
    context.app.cancel(handle.id)
  } catch (error) {
    context.log.warn('cancel_failed', { job: handle.id, ...errorFields(error) })
  }
}
