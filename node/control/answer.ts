/** Answers with the texts of one or more jobs, whole or streamed; how they look on the wire is the presenter's. */
import type { FastifyReply } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import type { JobProgress } from '../runtime/app.ts'
import { errorFields } from '../runtime/telemetry.ts'
import type { AnswerRequest } from './answer-request.ts'
import { Choice, type Finish, type Reading, type Tokens } from './choice.ts'
import type { ControlContext } from './context.ts'
import { dataFrame, EventStream } from './event-stream.ts'
import { follow } from './follow.ts'
import type { JobGroup } from './job-group.ts'
import { linkedSignal } from './linked-signal.ts'
import type { PlacedToken } from './logprobs.ts'
import { type FabricMember, fabricMember, failureOf } from './outcome.ts'
import { fabricErrorOf, problemOf } from './problem.ts'
import { isSilent, type Piece } from './speech.ts'

/** A choice with all that was shown of it. */
export type Said = {
  readonly choice: Choice
  text: string
  reasoning: string
  readonly calls: { readonly id: string; readonly name: string; arguments: string }[]
  readonly tokens: PlacedToken[]
}
export type Usage = {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
}
export type Ending = { readonly usage: Usage; readonly cfab: FabricEnding }
type FabricEnding = FabricMember | { readonly choices: readonly FabricMember[] }

/** Chunks are whole server-sent events, built as text: one of them is written per token and client. */
export type Presenter = {
  /** What opens a choice; undefined when nothing is to be said before its first text. */
  readonly opening: (choice: Choice) => string | undefined
  readonly piece: (choice: Choice, piece: Piece, tokens: readonly PlacedToken[]) => string
  readonly closing: (choice: Choice) => string
  /** A chunk without choices. */
  readonly trailer: (members: Readonly<Record<string, unknown>>) => string
  readonly whole: (said: readonly Said[], ending: Ending) => object
}

type Telling = Tokens | Finish
type Heard = (choice: Choice, event: JobProgress, signal: AbortSignal) => Promise<void> | void

export async function answerGroup(
  context: ControlContext,
  group: JobGroup,
  wish: AnswerRequest,
  present: Presenter,
  reply: FastifyReply,
  reading: Reading = wish,
): Promise<unknown> {
  const choices = group.handles.map((handle, index) => new Choice(index, handle, reading))
  if (!wish.stream) return wholeAnswer(context, group, choices, present)
  await new StreamedAnswer(context, group, choices, wish, present, reply).run()
  return reply
}

async function wholeAnswer(
  context: ControlContext,
  group: JobGroup,
  choices: readonly Choice[],
  present: Presenter,
): Promise<object> {
  const said: readonly Said[] = choices.map((choice) => ({ choice, text: '', reasoning: '', calls: [], tokens: [] }))
  await listen(context, group, choices, (choice, event) => {
    const mine = said[choice.index]
    if (mine === undefined || (event.type !== 'tokens' && event.type !== 'finish')) return
    append(mine, event.type === 'tokens' ? choice.hear(event) : choice.conclude(event))
    for (const token of choice.release()) mine.tokens.push(token)
  })
  return present.whole(said, { usage: usageOf(choices), cfab: fabricEnding(choices) })
}

function append(said: Said, { text, reasoning, calls }: Piece): void {
  said.text += text
  said.reasoning += reasoning
  for (const { index, name, arguments: more } of calls) {
    const call = said.calls[index]
    if (call !== undefined) call.arguments += more
    else said.calls.push({ id: said.choice.callId(index), name: name ?? '', arguments: more })
  }
}

/**
 * A stream of chunks, which opens with the first token of any choice.
 *
 * Why not earlier: a job that fails before it is then an ordinary HTTP error with its status, which clients know how to retry.
 */
class StreamedAnswer {
  readonly #context: ControlContext
  readonly #group: JobGroup
  readonly #choices: readonly Choice[]
  readonly #wish: AnswerRequest
  readonly #present: Presenter
  readonly #reply: FastifyReply
  readonly #opened = new Set<Choice>()
  #closedCount = 0
  #stream: EventStream | undefined

  constructor(
    context: ControlContext,
    group: JobGroup,
    choices: readonly Choice[],
    wish: AnswerRequest,
    present: Presenter,
    reply: FastifyReply,
  ) {
    this.#context = context
    this.#group = group
    this.#choices = choices
    this.#wish = wish
    this.#present = present
    this.#reply = reply
  }

  async run(): Promise<void> {
    const { signal } = this.#group
    try {
      await listen(this.#context, this.#group, this.#choices, (choice, event, stop) => this.#heard(choice, event, stop))
      // Without a word of usage: the official client keeps the last that was said of it.
      await this.#stream?.send(this.#present.trailer({ cfab: fabricEnding(this.#choices) }), signal)
      await this.#stream?.send(dataFrame('[DONE]'), signal)
      this.#stream?.end()
    } catch (error) {
      if (this.#stream === undefined) throw error
      await this.#breakOff(this.#stream, error)
    }
  }

  #heard(choice: Choice, event: JobProgress, signal: AbortSignal): Promise<void> | void {
    if (event.type !== 'tokens' && event.type !== 'finish') return
    const stream = this.#stream
    if (stream === undefined || !this.#opened.has(choice)) return this.#open(choice, event, signal)
    return this.#tell(stream, choice, event, signal)
  }

  async #open(choice: Choice, event: Telling, signal: AbortSignal): Promise<void> {
    this.#stream ??= EventStream.open(this.#reply, this.#context.bounds, this.#context.clock)
    this.#opened.add(choice)
    const opening = this.#present.opening(choice)
    if (opening !== undefined) await this.#stream.send(opening, signal)
    await this.#tell(this.#stream, choice, event, signal)
  }

  #tell(stream: EventStream, choice: Choice, event: Telling, signal: AbortSignal): Promise<void> | void {
    return event.type === 'tokens'
      ? this.#show(stream, choice, choice.hear(event), signal)
      : this.#close(stream, choice, event, signal)
  }

  #show(stream: EventStream, choice: Choice, piece: Piece, signal: AbortSignal): Promise<void> | void {
    const tokens = choice.release()
    if (!isSilent(piece) || tokens.length > 0) return stream.send(this.#present.piece(choice, piece, tokens), signal)
  }

  async #close(stream: EventStream, choice: Choice, finish: Finish, signal: AbortSignal): Promise<void> {
    await this.#show(stream, choice, choice.conclude(finish), signal)
    await stream.send(this.#present.closing(choice), signal)
    this.#closedCount += 1
    if (this.#wish.includeUsage && this.#closedCount === this.#choices.length)
      await stream.send(this.#present.trailer({ usage: usageOf(this.#choices) }), signal)
  }

  /** The status line has gone out: the error becomes the last event, which the official client raises. */
  async #breakOff(stream: EventStream, error: unknown): Promise<void> {
    const { draining, log, bounds } = this.#context
    const [job] = this.#group.handles
    const detail = job === undefined ? {} : { job: job.id }
    if (!this.#reply.raw.destroyed) {
      const known = draining.aborted ? new FabricError('CF_CONTROL_SHUTTING_DOWN', detail) : fabricErrorOf(error)
      if (known === undefined) log.error('answer_stream_broke', { ...detail, ...errorFields(error) })
      const problem = problemOf(known ?? new FabricError('CF_CONTROL_INTERNAL', detail))
      const patience = AbortSignal.timeout(bounds.stalledReaderMs)
      await Promise.resolve(stream.send(dataFrame(JSON.stringify(problem.body)), patience)).catch(() => undefined)
    }
    stream.end()
  }
}

/**
 * Hears every job to its outcome, side by side.
 *
 * @throws  what the first job to fail failed with; the others are not heard any more then
 */
async function listen(
  context: ControlContext,
  group: JobGroup,
  choices: readonly Choice[],
  heard: Heard,
): Promise<void> {
  const { signal, abort } = linkedSignal(group.signal)
  try {
    await Promise.all(choices.map((choice) => listenTo(context, group, choice, heard, signal)))
  } finally {
    abort()
  }
}

async function listenTo(
  context: ControlContext,
  group: JobGroup,
  choice: Choice,
  heard: Heard,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of follow(choice.handle, context.bounds.outcomeWaitMs, context.clock, signal)) {
    if (event.type === 'finish' || event.type === 'outcome') group.complete(choice.handle)
    if (event.type === 'outcome') {
      if (!choice.isFinished) throw failureOf(choice.handle.id, event)
      choice.ending = event
    }
    const waiting = heard(choice, event, signal)
    if (waiting !== undefined) await waiting
  }
}

/** Each job reads its own prompt and is paid for it: the counts are sums. */
function usageOf(choices: readonly Choice[]): Usage {
  let [prompt, answer] = [0, 0]
  for (const { handle, completionTokens } of choices) {
    prompt += handle.promptTokens
    answer += completionTokens
  }
  return { prompt_tokens: prompt, completion_tokens: answer, total_tokens: prompt + answer }
}

function fabricEnding(choices: readonly Choice[]): FabricEnding {
  const members = choices.flatMap(({ handle, ending }) => (ending === undefined ? [] : [fabricMember(handle, ending)]))
  const [only] = members
  return choices.length === 1 && only !== undefined ? only : { choices: members }
}
