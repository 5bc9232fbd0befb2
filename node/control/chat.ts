/** `POST /v1/chat/completions`: jobs behind OpenAI's chat API, streamed or whole. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CallPiece } from '../../models/tools/parser.ts'
import { answerGroup, type Presenter, type Said } from './answer.ts'
import type { AnswerRequest } from './answer-request.ts'
import { type ChatRequest, parseChatRequest } from './chat-request.ts'
import type { Choice, Reading } from './choice.ts'
import { type ControlContext, idempotencyKeyOf } from './context.ts'
import { type JobGroup, withJobs } from './job-group.ts'
import { listenerFor } from './listeners.ts'
import { chatLogprobs } from './logprobs.ts'
import { modelNamed } from './models.ts'
import type { Piece } from './speech.ts'

export async function completeChat(
  context: ControlContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const wish = parseChatRequest(request.body, idempotencyKeyOf(request))
  modelNamed(context.app, wish.model, 'chat')
  return withJobs(
    context,
    request,
    reply,
    wish.jobs,
    () => 'messages',
    (group) => answerGroup(context, group, wish, chatPresenter(wish, group), reply, readingOf(context, wish)),
  )
}

const ROLE = '"role":"assistant","content":"","refusal":null'

/** How the model writes is known once its job has been admitted: it is loaded then. */
function readingOf({ app }: ControlContext, wish: ChatRequest): Reading {
  const { parallelToolCalls = true } = wish.input
  const listener = listenerFor(modelNamed(app, wish.model), wish.input, wish.hasForm)
  return { ...wish, hasManyCalls: parallelToolCalls, ...(listener === undefined ? {} : { listener }) }
}

/** Members of a delta, as text. */
function deltaOf(choice: Choice, { text, reasoning, calls }: Piece): string {
  if (reasoning === '' && calls.length === 0) return `"content":${JSON.stringify(text)}`
  const members: string[] = []
  if (reasoning !== '') members.push(`"reasoning_content":${JSON.stringify(reasoning)}`)
  if (text !== '') members.push(`"content":${JSON.stringify(text)}`)
  if (calls.length > 0) members.push(`"tool_calls":${JSON.stringify(calls.map((call) => callDelta(choice, call)))}`)
  return members.join(',')
}

/** The head of a call names it; what follows says only which call it belongs to. */
function callDelta(choice: Choice, { index, name, arguments: more }: CallPiece): object {
  if (name === undefined) return { index, function: { arguments: more } }
  return { index, id: choice.callId(index), type: 'function', function: { name, arguments: more } }
}

function messageOf({ text, reasoning, calls }: Said): object {
  return {
    role: 'assistant',
    // What calls and says nothing has no words, which the API writes as null.
    content: text === '' && calls.length > 0 ? null : text,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    refusal: null,
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(callJson) }),
  }
}

function callJson({ id, name, arguments: given }: Said['calls'][number]): object {
  return { id, type: 'function', function: { name, arguments: given } }
}

function chatPresenter({ model, includeUsage, hasLogprobs }: AnswerRequest, group: JobGroup): Presenter {
  const facts = { id: `chatcmpl-${group.handles[0]?.id}`, created: group.createdSeconds, model }
  const head = `data: ${JSON.stringify({ ...facts, object: 'chat.completion.chunk' }).slice(0, -1)},"choices":[`
  const tail = `]${includeUsage ? ',"usage":null' : ''}}\n\n`
  const begins = group.handles.map((_, index) => `${head}{"index":${index},"delta":{`)
  const goesOn = `},"logprobs":null,"finish_reason":null}${tail}`
  return {
    opening: ({ index }) => begins[index] + ROLE + goesOn,
    piece: (choice, piece, tokens) => {
      const said = begins[choice.index] + deltaOf(choice, piece)
      if (tokens.length === 0) return said + goesOn
      return `${said}},"logprobs":${JSON.stringify(chatLogprobs(tokens))},"finish_reason":null}${tail}`
    },
    closing: ({ index, finishReason }) => `${begins[index]}},"logprobs":null,"finish_reason":"${finishReason}"}${tail}`,
    trailer: (members) => `${head}],${JSON.stringify(members).slice(1)}\n\n`,
    whole: (said, ending) => ({
      ...facts,
      object: 'chat.completion',
      choices: said.map((mine) => ({
        index: mine.choice.index,
        message: messageOf(mine),
        logprobs: hasLogprobs && mine.tokens.length > 0 ? chatLogprobs(mine.tokens) : null,
        finish_reason: mine.choice.finishReason,
      })),
      ...ending,
    }),
  }
}
