/**
 * Throws requests that are wrong in every way at a whole daemon. Whatever comes in: complete requests get a status, refusals a code,
 * and the daemon goes on.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { seededRandom } from '../support/seeded-random.ts'
import { addressed, nextShot, type Shot } from './http-shots.ts'
import { type Known, templatesOf } from './http-templates.ts'
import type { FromVictim, ToVictim } from './http-victim.ts'

export type HttpReport = {
  readonly seed: number
  readonly requests: number
  /** By kind of request and what came back: a status, `closed`, or `fault: …`. */
  readonly outcomes: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** Answers of 2xx: the request was served although it was changed. */
  readonly served: number
  /** Refusals, by their code. */
  readonly codes: Readonly<Record<string, number>>
  readonly faults: readonly HttpFault[]
  readonly rssBytes: Memory
  readonly heapBytes: Memory
  readonly ms: number
}
/** After a collection: before the first request, after half of them, after all. */
export type Memory = { readonly before: number; readonly middle: number; readonly after: number }
export type HttpFault = { readonly kind: string; readonly what: string; readonly sent: string; readonly got: string }

export type Answer = { readonly text: string; readonly ended: 'closed' | 'reset' | 'late' }

const VICTIM = fileURLToPath(new URL('./http-victim.ts', import.meta.url))
const PARALLEL = 8
/** A daemon that has a complete request must have said something by then. */
const ANSWER_MS = 20_000
const START_MS = 30_000
const FAULTS_MAX = 20
const TEXT_CHARS_MAX = 2_000
const ANSWER_CHARS_MAX = 4_000_000
const STATUS = /HTTP\/1\.1 (\d{3}) [^\r]*\r\n/g
const CODE = /\bCF_[A-Z]+(?:_[A-Z]+)+\b/
/** Refusals of 5xx that a well-behaved daemon gives: come again later, or not built in. */
const FINE_5XX = new Set(['501', '503'])

export async function fuzzHttp(requests: number, seed: number): Promise<HttpReport> {
  const victim = fork(VICTIM, { execArgv: ['--expose-gc'] })
  const orphan = () => victim.kill('SIGKILL')
  process.once('exit', orphan)
  try {
    return await attack(victim, requests, seed)
  } finally {
    process.off('exit', orphan)
    const gone = victim.exitCode === null && victim.signalCode === null ? once(victim, 'exit') : undefined
    if (victim.connected) order(victim, 'stop')
    const timer = setTimeout(orphan, START_MS)
    await gone
    clearTimeout(timer)
  }
}

async function attack(victim: ChildProcess, requests: number, seed: number): Promise<HttpReport> {
  const { port, adminKey } = await heard(victim, 'listening')
  const known = await learn(port, adminKey)
  const templates = templatesOf(known)
  const before = await measured(victim)
  const random = seededRandom(seed)
  const book = new Book()
  const startedMs = performance.now()
  let fired = 0
  const fireUntil = async (end: number) => {
    const lane = async () => {
      while (fired < end && victim.exitCode === null) {
        fired += 1
        const shot = nextShot(templates, random)
        book.add(shot, await fire(shot, port))
      }
    }
    await Promise.all(Array.from({ length: PARALLEL }, lane))
    await stillThere(victim, port, book)
    return measured(victim)
  }
  const middle = await fireUntil(Math.floor(requests / 2))
  const after = await fireUntil(requests)
  const ms = Math.round(performance.now() - startedMs)
  return {
    ...{ seed, requests: fired, ms },
    ...book.result(),
    rssBytes: { before: before.rssBytes, middle: middle.rssBytes, after: after.rssBytes },
    heapBytes: { before: before.heapBytes, middle: middle.heapBytes, after: after.heapBytes },
  }
}

async function stillThere(victim: ChildProcess, port: number, book: Book): Promise<void> {
  if (victim.exitCode !== null || victim.signalCode !== null)
    throw new Error(
      `the daemon ended with ${victim.exitCode ?? victim.signalCode}: ${JSON.stringify(book.result().faults)}`,
    )
  const health = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(ANSWER_MS) })
  if (!health.ok) throw new Error(`/healthz says ${health.status}`)
}

/** Makes one job and waits for its end, so that there is something to ask for. */
async function learn(port: number, adminKey: string): Promise<Known> {
  const url = `http://127.0.0.1:${port}`
  const read = async (path: string): Promise<unknown> => (await fetch(url + path)).json()
  const endMs = performance.now() + START_MS
  while (performance.now() < endMs) {
    const body = JSON.stringify({ model: 'cfab-tiny', prompt: 'Hello', max_tokens: 4 })
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${url}/api/v1/p2p/intents`, { method: 'POST', headers, body })
    const jobId = answer.status === 202 ? textIn(await answer.json(), 'job_id') : undefined
    const user = textIn(await read('/api/v1/status'), 'user')
    if (jobId !== undefined && user !== undefined) return { jobId, user, adminKey }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('the daemon takes no job')
}

function textIn(value: unknown, name: string): string | undefined {
  const found = typeof value === 'object' && value !== null && Object.entries(value).find(([key]) => key === name)
  return found && typeof found[1] === 'string' ? found[1] : undefined
}

/** Sends a shot and collects what comes back until the other side closes. Never rejects. */
function fire({ bytes, ending }: Shot, port: number): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const finish = (ended: Answer['ended']) => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ text, ended })
    }
    const timer = setTimeout(() => finish('late'), ANSWER_MS)
    socket.setEncoding('latin1').on('data', (part: string) => {
      if (text.length < ANSWER_CHARS_MAX) text += part
    })
    socket.once('error', () => finish('reset'))
    socket.once('close', () => finish('closed'))
    socket.once('connect', () => {
      const sent = () => {
        if (ending === 'end') socket.end()
        if (ending === 'vanish') finish('closed')
      }
      socket.write(addressed(bytes, port), sent)
    })
  })
}

/** What came back, counted, and what must not have come back. */
class Book {
  readonly #outcomes = new Map<string, Map<string, number>>()
  readonly #codes = new Map<string, number>()
  readonly #faults: HttpFault[] = []
  #served = 0

  add(shot: Shot, answer: Answer): void {
    const statuses = [...answer.text.matchAll(STATUS)].map(([, status]) => status ?? '')
    const fault = faultOf(shot, answer, statuses)
    if (fault !== undefined && this.#faults.length < FAULTS_MAX) this.#faults.push(fault)
    const outcome = fault === undefined ? (statuses[0] ?? answer.ended) : `fault: ${fault.what}`
    const outcomes = this.#outcomes.get(shot.kind) ?? new Map<string, number>()
    this.#outcomes.set(shot.kind, outcomes)
    count(outcomes, outcome)
    const code = CODE.exec(answer.text)?.[0]
    if (Number(statuses[0] ?? 0) >= 400 && code !== undefined) count(this.#codes, code)
    if (statuses[0]?.startsWith('2') === true) this.#served += 1
  }

  result(): Pick<HttpReport, 'outcomes' | 'served' | 'codes' | 'faults'> {
    const plain = (counts: ReadonlyMap<string, number>) => Object.fromEntries([...counts].sort())
    return {
      outcomes: Object.fromEntries([...this.#outcomes].sort().map(([kind, counts]) => [kind, plain(counts)])),
      served: this.#served,
      codes: plain(this.#codes),
      faults: this.#faults,
    }
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function faultOf(shot: Shot, answer: Answer, statuses: readonly string[]): HttpFault | undefined {
  const what = whatIsWrong(shot, answer, statuses)
  if (what === undefined) return undefined
  const sent = Buffer.from(shot.bytes.subarray(0, TEXT_CHARS_MAX)).toString('latin1')
  return { kind: shot.kind, what, sent, got: answer.text.slice(0, TEXT_CHARS_MAX) }
}

function whatIsWrong(
  { answers, bytes }: Shot,
  { text, ended }: Answer,
  statuses: readonly string[],
): string | undefined {
  if (statuses.length < answers) return `${ended} with ${statuses.length} of ${answers} answers`
  const broken = statuses.find((status) => status.startsWith('5') && !FINE_5XX.has(status))
  if (broken !== undefined) return `status ${broken}`
  const refused = statuses.some((status) => Number(status) >= 400)
  const isHead = Buffer.from(bytes.subarray(0, 5)).toString() === 'HEAD '
  return refused && !isHead && !CODE.test(text) ? 'a refusal without a code' : undefined
}

async function heard<T extends FromVictim['type']>(
  victim: ChildProcess,
  type: T,
): Promise<Extract<FromVictim, { type: T }>> {
  const signal = AbortSignal.timeout(START_MS)
  const ended = once(victim, 'exit', { signal }).then(([code]) => {
    throw new Error(`the daemon ended with ${code}`)
  })
  const told = once(victim, 'message', { signal }).then(([message]) => parseMessage(message, type))
  ended.catch(() => undefined)
  return Promise.race([told, ended])
}

function parseMessage<T extends FromVictim['type']>(message: unknown, type: T): Extract<FromVictim, { type: T }> {
  const isIt = typeof message === 'object' && message !== null && 'type' in message && message.type === type
  if (!isIt) throw new Error(`the daemon said something else than ${type}`)
  return message as Extract<FromVictim, { type: T }>
}

function order(victim: ChildProcess, message: ToVictim): void {
  victim.send(message)
}

function measured(victim: ChildProcess): Promise<Extract<FromVictim, { type: 'memory' }>> {
  const answer = heard(victim, 'memory')
  order(victim, 'measure')
  return answer
}
