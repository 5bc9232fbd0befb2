/** Scripted jobs for the fake app: what each says, to every listener from its beginning. A prompt chooses how its job goes. */
import { sha256 } from '#core/hash'
import { utf8 } from '../../core/codec/bytes.ts'
import type { JobId } from '../../core/ids.ts'
import type { TokenDetail } from '../../models/backend.ts'
import type { JobOutcome, JobProgress, JobRequest, JobView } from '../../node/runtime/app.ts'

export const FAKE_PRICE = 20_000n
export const FAKE_DIMENSIONS = 512
export const FAKE_WORDS = ['Once', ' upon', ' a', ' time', ' 🌍', '.'] as const
export const FAKE_TEXT = FAKE_WORDS.join('')

export type FakeJob = {
  readonly request: JobRequest
  readonly view: JobView
  readonly events: JobProgress[]
  readonly wake: Set<() => void>
  done: boolean
}

/** What decides how the job goes: the last message, the prompt, the first text. */
export function promptOf({ input }: JobRequest): string {
  if (input.task === 'chat') return input.messages.at(-1)?.content ?? ''
  if (input.task === 'embedding') return input.texts[0] ?? ''
  return typeof input.prompt === 'string' ? input.prompt : `ids ${input.prompt.join(' ')}`
}

export function isVerifiable(request: JobRequest): boolean {
  const { input, grammar = '', logitBias = [] } = request
  const isForced = input.task === 'chat' && input.toolChoice !== undefined
  return (
    !isForced &&
    grammar === '' &&
    logitBias.length === 0 &&
    (request.topPMilli ?? 1_000) === 1_000 &&
    (request.frequencyPenaltyMilli ?? 0) === 0 &&
    (request.presencePenaltyMilli ?? 0) === 0
  )
}

/**
 * Prompts with a meaning: `slow` never finishes by itself, `late` finishes and never settles, `fail <reason>` is refunded before a token,
 * `reject` is answered and then refunded, `flood <count>` streams that many tokens as fast as it is read, `say <text>` says the text in
 * pieces of one character, `half` fails after its first word.
 */
export function script(job: FakeJob): readonly JobProgress[] {
  const [word = '', argument = ''] = promptOf(job.request).split(' ')
  const begun = [phase('admitted'), phase('assigned'), phase('executing')]
  if (word === 'fail') return [...begun, outcome(job, 'refunded', argument)]
  if (word === 'slow') return [...begun, tokens(job.request, 'Once')]
  if (word === 'half') return [...begun, tokens(job.request, 'Once'), outcome(job, 'refunded', 'all_replicas_lost')]
  const told = [...begun, ...said(job.request, word), phase('committed')]
  if (word === 'late') return told
  const ending = word === 'reject' ? outcome(job, 'rejected', 'output_rejected') : outcome(job, 'verified', '')
  return [...told, phase('settled'), ending]
}

function said(request: JobRequest, word: string): readonly JobProgress[] {
  if (request.input.task === 'embedding')
    return [{ type: 'vectors', vectors: request.input.texts.map(fakeVector) }, finish('stop', 0)]
  const words = wordsOf(promptOf(request), word)
  const events: JobProgress[] = []
  let text = ''
  for (const next of words.slice(0, request.maxTokens)) {
    text += next
    events.push(tokens(request, next))
    if (request.stop?.some((stop) => text.includes(stop)) === true) return [...events, finish('stop', events.length)]
  }
  return [...events, finish(events.length < words.length ? 'length' : 'stop', events.length)]
}

function wordsOf(prompt: string, word: string): readonly string[] {
  if (word === 'flood') return Array.from({ length: Number(prompt.split(' ')[1]) }, () => '0123456789abcdef')
  return word === 'say' ? [...prompt.slice('say '.length)] : FAKE_WORDS
}

/** Unit length, and the same for the same text. */
export function fakeVector(text: string): Float32Array {
  const seed = sha256(utf8(text))
  const raw = Array.from({ length: FAKE_DIMENSIONS }, (_, index) => ((seed[index % 32] ?? 0) + index) / 256)
  const norm = Math.hypot(...raw)
  return Float32Array.from(raw, (value) => value / norm)
}

function tokens(request: JobRequest, text: string): JobProgress {
  const top = request.topLogprobs
  return { type: 'tokens', ids: [1], text, ...(top === undefined ? {} : { details: [fakeDetail(text, top)] }) }
}

/** A token beyond ASCII plays a part of a character. */
function fakeDetail(text: string, top: number): TokenDetail {
  const self = { id: 1, text: /^[\x20-\x7e]*$/.test(text) ? text : '', logprob: -0.25 }
  const others = Array.from({ length: top }, (_, index) => ({ id: index + 2, text: `w${index}`, logprob: -1 - index }))
  return { ...self, top: [self, ...others].slice(0, top) }
}

const phase = (name: string): JobProgress => ({ type: 'phase', phase: name, atMs: 1_700_000_000_000, detail: '' })
const finish = (said: 'stop' | 'length', completionTokens: number): JobProgress => ({
  type: 'finish',
  finish: said,
  completionTokens,
})

export function outcome(job: FakeJob, said: JobOutcome['outcome'], reason: string): JobProgress {
  const cost = said === 'verified' ? 12_345n : 0n
  return {
    type: 'outcome',
    outcome: said,
    assurance: 'local',
    reason,
    receiptId: job.view.id,
    cost,
    refund: FAKE_PRICE - cost,
  }
}

export function emit(job: FakeJob, events: readonly JobProgress[]): void {
  for (const event of events) job.events.push(event)
  job.done ||= events.some((event) => event.type === 'outcome')
  for (const wake of job.wake) wake()
}

export async function* replay(job: FakeJob, signal: AbortSignal): AsyncGenerator<JobProgress, void> {
  for (let next = 0; ; next += 1) {
    while (next >= job.events.length) await news(job, signal)
    signal.throwIfAborted()
    const event = job.events[next]
    if (event !== undefined) yield event
    if (event?.type === 'outcome') return
  }
}

function news(job: FakeJob, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const wake = (): void => {
      job.wake.delete(wake)
      signal.removeEventListener('abort', leave)
      resolve()
    }
    const leave = (): void => {
      job.wake.delete(wake)
      reject(signal.reason)
    }
    job.wake.add(wake)
    signal.addEventListener('abort', leave, { once: true })
  })
}

export function fakeView(
  id: JobId,
  request: JobRequest,
  people: Pick<JobView, 'user'> & { worker: JobView['user'] },
): JobView {
  const failed = promptOf(request).startsWith('fail')
  return {
    id,
    phase: 'settled',
    createdMs: 1_700_000_000_000,
    model: request.model,
    task: request.input.task,
    verifiable: isVerifiable(request),
    user: people.user,
    replicas: [{ worker: people.worker, state: 'revealed', verdict: 'pass', tokens: FAKE_WORDS.length }],
    hold: FAKE_PRICE,
    cost: failed ? 0n : 12_345n,
    refund: failed ? FAKE_PRICE : FAKE_PRICE - 12_345n,
    outcome: failed ? 'refunded' : 'verified',
    assurance: 'local',
    reason: null,
    text: request.input.task === 'embedding' ? '' : FAKE_TEXT,
    reports: [],
    disputes: [],
  }
}
