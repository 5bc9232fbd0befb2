/** What the clients asked for and what they were promised: the end of a campaign is held against it. */
import type { Answer, Message } from './request.ts'

/** One request that a client repeats with the same key until it is answered. */
export type Wish = {
  readonly key: string
  readonly kind: 'intent' | 'chat' | 'stream' | 'mint' | 'spend'
  readonly message: Message
}
/** `id` of the job or transaction. */
export type Promised = { readonly wish: Wish; readonly id: string; count: number }

/** A daemon that is starting, stopping or full may say so; the client asks again. */
const PATIENCE = new Set([
  'CF_WORKER_STARTING',
  'CF_WORKER_HOST_LOST',
  'CF_WORKER_QUEUE_FULL',
  'CF_JOB_QUEUE_FULL',
  'CF_JOB_NO_WORKERS',
  'CF_JOB_FAILED',
  'CF_CONTROL_SHUTTING_DOWN',
  'CF_STORE_QUEUE_FULL',
])

export class Book {
  readonly promised = new Map<string, Promised>()
  /** Sent, and no answer came. */
  readonly lost: Wish[] = []
  /** The text that a client read to its end, by job. */
  readonly texts = new Map<string, string>()
  readonly violations: string[] = []
  readonly counts = new Map<string, number>()

  count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
  }

  violate(text: string): void {
    this.violations.push(text)
  }

  /** @returns true when the client need not ask again */
  note(wish: Wish, answer: Answer | undefined): boolean {
    if (answer === undefined || (answer.status < 300 && !this.#noteGood(wish, answer))) {
      this.count('answers lost')
      this.lost.push(wish)
      return false
    }
    if (answer.status < 300) return true
    return this.#noteBad(wish, answer)
  }

  /** @returns false when the answer was cut off before it said anything */
  #noteGood(wish: Wish, answer: Answer): boolean {
    const id = answer.job ?? (answer.complete ? idIn(answer.body) : undefined)
    if (id === undefined) {
      if (answer.complete) this.violate(`an answer without an id to ${wish.key}: ${answer.body}`)
      return answer.complete
    }
    const earlier = this.promised.get(wish.key)
    if (earlier === undefined) {
      this.promised.set(wish.key, { wish, id, count: 1 })
      this.count(`${wish.kind} answered`)
    } else {
      earlier.count += 1
      this.count('repeats answered')
      if (earlier.id !== id) this.violate(`key ${wish.key} was ${earlier.id}, asked again it is ${id}`)
    }
    if (answer.complete && wish.kind === 'chat') this.#noteText(id, chatText(answer.body))
    if (answer.complete && wish.kind === 'stream') this.#noteText(id, streamText(answer.body))
    return true
  }

  #noteText(id: string, text: string | undefined): void {
    if (text === undefined) return
    const earlier = this.texts.get(id)
    if (earlier !== undefined && earlier !== text) this.violate(`job ${id} was answered with two texts`)
    this.texts.set(id, text)
  }

  #noteBad(wish: Wish, answer: Answer): boolean {
    const code = codeIn(answer.body)
    this.count(`refused ${code}`)
    if (!answer.complete) {
      this.lost.push(wish)
      return false
    }
    if (!PATIENCE.has(code)) this.violate(`${answer.status} ${code} to ${wish.key}: ${answer.body}`)
    // A job that has failed stays failed under its key; what never became a job is asked for again.
    else if (answer.job === undefined) this.lost.push(wish)
    return false
  }
}

function idIn(body: string): string | undefined {
  const answer = JSON.parse(body)
  const id: unknown = answer.job_id ?? answer.id
  return typeof id === 'string' ? id : undefined
}

function codeIn(body: string): string {
  try {
    return String(JSON.parse(body).error.code)
  } catch {
    return 'unreadable'
  }
}

/** @returns undefined when the verdict was not in yet: another text may still become the answer */
function chatText(body: string): string | undefined {
  const answer = JSON.parse(body)
  return isFinal(answer.cfab) ? String(answer.choices[0].message.content) : undefined
}

function streamText(body: string): string | undefined {
  const lines = body.split('\n').filter((line) => line.startsWith('data: {'))
  const events = lines.map((line) => JSON.parse(line.slice('data: '.length)))
  if (!events.some((event) => isFinal(event.cfab))) return undefined
  return events.map((event) => event.choices?.[0]?.delta?.content ?? '').join('')
}

function isFinal(fabric: { readonly outcome?: string } | undefined): boolean {
  return fabric?.outcome !== undefined && !['pending', 'refunded', 'rejected'].includes(fabric.outcome)
}
