/** `POST /v1/completions`: prompts that are continued as they stand, streamed or whole. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { answerGroup, type Presenter } from './answer.ts'
import { type CompletionRequest, parseCompletionRequest } from './completion-request.ts'
import { type ControlContext, idempotencyKeyOf } from './context.ts'
import { type JobGroup, withJobs } from './job-group.ts'
import { legacyLogprobs } from './logprobs.ts'
import { modelNamed } from './models.ts'

export async function completeText(
  context: ControlContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const wish = parseCompletionRequest(request.body, idempotencyKeyOf(request))
  modelNamed(context.app, wish.model, 'chat')
  const blamed = (job: number): string =>
    wish.isList ? `prompt[${Math.floor(job / wish.choicesPerPrompt)}]` : 'prompt'
  return withJobs(context, request, reply, wish.jobs, blamed, (group) =>
    answerGroup(context, group, wish, textPresenter(wish, group), reply),
  )
}

function textPresenter(
  { model, includeUsage, hasLogprobs, echo, prompts }: CompletionRequest,
  group: JobGroup,
): Presenter {
  const facts = { id: `cmpl-${group.handles[0]?.id}`, object: 'text_completion', created: group.createdSeconds, model }
  const head = `data: ${JSON.stringify(facts).slice(0, -1)},"choices":[`
  const tail = `]${includeUsage ? ',"usage":null' : ''}}\n\n`
  const begins = group.handles.map((_, index) => `${head}{"index":${index},"text":`)
  const goesOn = `,"logprobs":null,"finish_reason":null}${tail}`
  return {
    opening: ({ index }) => (echo ? begins[index] + JSON.stringify(prompts[index]) + goesOn : undefined),
    piece: ({ index }, { text }, tokens) => {
      const said = begins[index] + JSON.stringify(text)
      if (tokens.length === 0) return said + goesOn
      return `${said},"logprobs":${JSON.stringify(legacyLogprobs(tokens))},"finish_reason":null}${tail}`
    },
    closing: ({ index, finishReason }) =>
      `${begins[index]}"","logprobs":null,"finish_reason":"${finishReason}"}${tail}`,
    trailer: (members) => `${head}],${JSON.stringify(members).slice(1)}\n\n`,
    whole: (said, ending) => ({
      ...facts,
      choices: said.map(({ choice, text, tokens }) => ({
        index: choice.index,
        text: echo ? `${prompts[choice.index]}${text}` : text,
        logprobs: hasLogprobs && tokens.length > 0 ? legacyLogprobs(tokens) : null,
        finish_reason: choice.finishReason,
      })),
      ...ending,
    }),
  }
}
