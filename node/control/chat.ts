/** `POST /v1/chat/completions`: a job behind OpenAI's chat API, streamed or whole. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import type { JobHandle, JobOutcome, JobProgress } from '../runtime/app.ts'
import { errorFields } from '../runtime/telemetry.ts'
import { type ChatRequest, parseChatRequest } from './chat-request.ts'
import { type ControlContext, idempotencyKeyOf } from './context.ts'
import { EventStream, hangUpSignal } from './event-stream.ts'
import { follow } from './follow.ts'
import { fabricMember, failureOf } from './outcome.ts'
import { fabricErrorOf, problemOf } from './problem.ts'

type Finish = Extract<JobProgress, { type: 'finish' }>
/** One chat being answered. `finish` is set once the text is complete: from then on a hang-up cancels nothing. */
type Chat = {
  readonly request: ChatRequest
  readonly handle: JobHandle
  readonly createdSeconds: number
  finish: Finish | undefined
}

/**
 * Answers a chat, and cancels its job when the client hangs up before the text is complete.
 *
 * Why a job with an Idempotency-Key goes on: its caller has said that it will come back for the same job.
 */
export async function completeChat(
  context: ControlContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const key = idempotencyKeyOf(request)
  const wish = parseChatRequest(request.body, key)
  const leave = context.seats.take()
  const hangUp = hangUpSignal(reply.raw)
  const signal = AbortSignal.any([hangUp, context.draining])
  let chat: Chat | undefined
  try {
    const handle = await context.app.submit(wish.job, signal)
    chat = { request: wish, handle, createdSeconds: Math.floor(context.clock.nowMs() / 1000), finish: undefined }
    void reply.header('x-cfab-job', handle.id)
    return await (wish.stream ? streamAnswer(context, chat, reply, signal) : wholeAnswer(context, chat, signal))
  } catch (error) {
    throw context.draining.aborted ? new FabricError('CF_CONTROL_SHUTTING_DOWN', {}, error) : error
  } finally {
    if (hangUp.aborted && chat !== undefined && chat.finish === undefined && key === undefined)
      cancelQuietly(context, chat.handle)
    leave()
  }
}

function cancelQuietly(context: ControlContext, handle: JobHandle): void {
  try {
    context.app.cancel(handle.id)
  } catch (error) {
    context.log.warn('cancel_failed', { job: handle.id, ...errorFields(error) })
  }
}

async function wholeAnswer(context: ControlContext, chat: Chat, signal: AbortSignal): Promise<unknown> {
  let content = ''
  for await (const event of follow(chat.handle, context.bounds.outcomeWaitMs, context.clock, signal)) {
    if (event.type === 'tokens') content += event.text
    if (event.type === 'finish') chat.finish = event
    if (event.type === 'outcome') return completion(chat, content, event)
  }
  throw new FabricError('CF_JOB_FAILED', { job: chat.handle.id })
}

function completion(chat: Chat, content: string, ending: JobOutcome): unknown {
  if (chat.finish === undefined && ending.outcome !== 'pending') throw failureOf(chat.handle.id, ending)
  return {
    id: chatId(chat),
    object: 'chat.completion',
    created: chat.createdSeconds,
    model: chat.request.job.model,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content, refusal: null },
        logprobs: null,
        finish_reason: finishReason(chat),
      },
    ],
    usage: usage(chat),
    cfab: fabricMember(chat.handle.id, ending),
  }
}

/**
 * Streams chunks as tokens come.
 *
 * Why the response opens with the first token: a job that fails before it is then an ordinary HTTP error with its status, which clients
 * know how to retry.
 */
async function streamAnswer(
  context: ControlContext,
  chat: Chat,
  reply: FastifyReply,
  signal: AbortSignal,
): Promise<unknown> {
  let stream: EventStream | undefined
  try {
    for await (const event of follow(chat.handle, context.bounds.outcomeWaitMs, context.clock, signal)) {
      if (event.type === 'phase') continue
      if (event.type === 'outcome' && stream === undefined && chat.finish === undefined)
        throw failureOf(chat.handle.id, event)
      if (stream === undefined) {
        stream = EventStream.open(reply, context.bounds, context.clock)
        await stream.data(chunk(chat, DELTA_ROLE, null), signal)
      }
      await tell(stream, chat, event, signal)
    }
    stream?.end()
  } catch (error) {
    if (stream === undefined) throw error
    await breakOff(context, chat, stream, error, reply)
  }
  return reply
}

async function tell(
  stream: EventStream,
  chat: Chat,
  event: Exclude<JobProgress, { type: 'phase' }>,
  signal: AbortSignal,
): Promise<void> {
  switch (event.type) {
    case 'tokens':
      if (event.text !== '') await stream.data(chunk(chat, `{"content":${JSON.stringify(event.text)}}`, null), signal)
      return
    case 'finish':
      chat.finish = event
      await stream.data(chunk(chat, '{}', finishReason(chat)), signal)
      if (chat.request.includeUsage) await stream.data(trailer(chat, { usage: usage(chat) }), signal)
      return
    case 'outcome':
      if (chat.finish === undefined) throw failureOf(chat.handle.id, event)
      await stream.data(
        trailer(chat, {
          ...(chat.request.includeUsage ? { usage: null } : {}),
          cfab: fabricMember(chat.handle.id, event),
        }),
        signal,
      )
      await stream.data('[DONE]', signal)
  }
}

/** The status line has gone out: the error becomes the last event, which the official client raises. */
async function breakOff(
  context: ControlContext,
  chat: Chat,
  stream: EventStream,
  error: unknown,
  reply: FastifyReply,
): Promise<void> {
  if (!reply.raw.destroyed) {
    const known = context.draining.aborted
      ? new FabricError('CF_CONTROL_SHUTTING_DOWN', { job: chat.handle.id })
      : fabricErrorOf(error)
    if (known === undefined) context.log.error('chat_stream_broke', { job: chat.handle.id, ...errorFields(error) })
    const problem = problemOf(known ?? new FabricError('CF_CONTROL_INTERNAL', { job: chat.handle.id }))
    await stream
      .data(JSON.stringify(problem.body), AbortSignal.timeout(context.bounds.stalledReaderMs))
      .catch(() => undefined)
  }
  stream.end()
}

const DELTA_ROLE = '{"role":"assistant","content":"","refusal":null}'

function chatId(chat: Chat): string {
  return `chatcmpl-${chat.handle.id}`
}

/** Built as text: one of these is written per token and client. */
function chunk(chat: Chat, delta: string, finish: string | null): string {
  const choice = `{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${JSON.stringify(finish)}}`
  return `${chunkHead(chat)},"choices":[${choice}]${chat.request.includeUsage ? ',"usage":null' : ''}}`
}

function trailer(chat: Chat, members: Readonly<Record<string, unknown>>): string {
  return `${chunkHead(chat)},"choices":[],${JSON.stringify(members).slice(1)}`
}

function chunkHead(chat: Chat): string {
  const model = JSON.stringify(chat.request.job.model)
  return `{"id":"${chatId(chat)}","object":"chat.completion.chunk","created":${chat.createdSeconds},"model":${model}`
}

/** OpenAI has no word for an answer that was cut off from outside; `length` is what tells a client that it is not whole. */
function finishReason(chat: Chat): 'stop' | 'length' {
  return chat.finish?.finish === 'stop' ? 'stop' : 'length'
}

function usage(chat: Chat): { prompt_tokens: number; completion_tokens: number; total_tokens: number } {
  const [prompt, answer] = [chat.handle.promptTokens, chat.finish?.completionTokens ?? 0]
  return { prompt_tokens: prompt, completion_tokens: answer, total_tokens: prompt + answer }
}
