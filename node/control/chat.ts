/** `POST /v1/chat/completions`: jobs behind OpenAI's chat API, streamed or whole. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerGroup, type Presenter } from './answer.ts'
import type { AnswerRequest } from './answer-request.ts'
import { parseChatRequest } from './chat-request.ts'
import { type ControlContext, idempotencyKeyOf } from './context.ts'
import { type JobGroup, withJobs } from './job-group.ts'
import { chatLogprobs } from './logprobs.ts'
import { modelNamed } from './models.ts'

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
    (group) => answerGroup(context, group, wish, chatPresenter(wish, group), reply),
  )
}

const ROLE = '"role":"assistant","content":"","refusal":null'

function chatPresenter({ model, includeUsage, hasLogprobs }: AnswerRequest, group: JobGroup): Presenter {
  const facts = { id: `chatcmpl-${group.handles[0]?.id}`, created: group.createdSeconds, model }
  const head = `data: ${JSON.stringify({ ...facts, object: 'chat.completion.chunk' }).slice(0, -1)},"choices":[`
  const tail = `]${includeUsage ? ',"usage":null' : ''}}\n\n`
  const begins = group.handles.map((_, index) => `${head}{"index":${index},"delta":{`)
  const goesOn = `},"logprobs":null,"finish_reason":null}${tail}`
  const says = begins.map((begin) => `${begin}"content":`)
  return {
    opening: ({ index }) => begins[index] + ROLE + goesOn,
    piece: ({ index }, text, tokens) => {
      const said = says[index] + JSON.stringify(text)
      if (tokens.length === 0) return said + goesOn
      return `${said}},"logprobs":${JSON.stringify(chatLogprobs(tokens))},"finish_reason":null}${tail}`
    },
    closing: ({ index, finishReason }) => `${begins[index]}},"logprobs":null,"finish_reason":"${finishReason}"}${tail}`,
    trailer: (members) => `${head}],${JSON.stringify(members).slice(1)}\n\n`,
    whole: (said, ending) => ({
      ...facts,
      object: 'chat.completion',
      choices: said.map(({ choice, text, tokens }) => ({
        index: choice.index,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: hasLogprobs && tokens.length > 0 ? chatLogprobs(tokens) : null,
        finish_reason: choice.finishReason,
      })),
      ...ending,
    }),
  }
}
