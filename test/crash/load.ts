/** Clients that want everything at once: jobs, chats, mints and spends, each with a key, each asked again when its answer was lost. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SeededRandom } from '../support/seeded-random.ts'
import { getJson } from '../support/spawned-node.ts'
import type { Book, Wish } from './book.ts'
import { type Message, send } from './request.ts'

export type LoadTarget = {
  readonly address: string
  readonly user: string
  readonly node: string
  readonly adminKey: string
}

const CLIENT_COUNT = 6
const PAUSE_MS_MAX = 60
/** A living daemon answers well within this, even a chat behind a full engine. */
const ANSWER_MS = 60_000
const PROMPTS = [
  'Once upon a time',
  'What is the capital of France?',
  'Tell me a story about a robot.',
  'Hello!',
  'Count from one to five.',
]

type Draw = { readonly text: string; readonly replicas: number; readonly verify: string; readonly maxTokens: number }

/** Runs until the signal aborts; requests in flight are waited for, so that what was lost is known. */
export async function applyLoad(
  target: LoadTarget,
  book: Book,
  random: SeededRandom,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(Array.from({ length: CLIENT_COUNT }, () => client(target, book, random, signal)))
}

async function client(target: LoadTarget, book: Book, random: SeededRandom, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await fulfil(target, book, nextWish(target, book, random), signal)
    if (random.below(16) === 0) await cancelOne(target, book, random)
    await new Promise((resolve) => setTimeout(resolve, random.below(PAUSE_MS_MAX)))
  }
}

/** @param signal  the daemon is gone: that a request got no answer is no fault then */
export async function fulfil(target: LoadTarget, book: Book, wish: Wish, signal: AbortSignal): Promise<boolean> {
  try {
    return book.note(wish, await send(target.address, wish.message, ANSWER_MS))
  } catch (error) {
    if (!signal.aborted) book.violate(String(error))
    return false
  }
}

/** What was lost first, sometimes what has been answered already, else something new. */
function nextWish(target: LoadTarget, book: Book, random: SeededRandom): Wish {
  const lost = book.lost.shift()
  if (lost !== undefined) {
    book.count('lost asked again')
    return lost
  }
  const known = [...book.promised.values()]
  const again = random.below(10) === 0 ? known[random.below(Math.max(1, known.length))] : undefined
  return again?.wish ?? newWish(target, random)
}

function newWish(target: LoadTarget, random: SeededRandom): Wish {
  const key = `${random.below(2 ** 31)}-${random.below(2 ** 31)}`
  const dice = random.below(100)
  if (dice < 10) return { key, kind: 'intent', message: post('/api/v1/p2p/intents', key, embeddingBody(draw(random))) }
  if (dice < 36) return { key, kind: 'intent', message: post('/api/v1/p2p/intents', key, intentBody(draw(random))) }
  if (dice < 52) return { key, kind: 'chat', message: post('/v1/chat/completions', key, chatBody(draw(random), false)) }
  if (dice < 72)
    return { key, kind: 'stream', message: post('/v1/chat/completions', key, chatBody(draw(random), true)) }
  const amount = `0.${String(1 + random.below(999_999)).padStart(6, '0')}`
  if (dice < 86) {
    const [type, id] = random.below(2) === 0 ? ['user', target.user] : ['node', target.node]
    const body = { account_type: type, account_id: id, amount, reason: 'crash test' }
    return { key, kind: 'mint', message: post('/api/v1/credits/mint', key, body, target.adminKey) }
  }
  const body = { owner_id: target.user, amount, reason: 'crash test' }
  return { key, kind: 'spend', message: post('/api/v1/credits/spend', key, body) }
}

function draw(random: SeededRandom): Draw {
  return {
    text: PROMPTS[random.below(PROMPTS.length)] ?? '',
    replicas: 1 + random.below(3),
    verify: random.below(2) === 0 ? 'after' : 'before',
    maxTokens: 1 + random.below(random.below(4) === 0 ? 120 : 24),
  }
}

function embeddingBody({ text, replicas, maxTokens }: Draw): object {
  const texts = Array.from({ length: 1 + (maxTokens % 8) }, (_, place) => `${text} ${place}`)
  return { model: 'use-lite-en', task: 'embedding', texts, replicas }
}

/** Half of them are completions, which end at a full stop too. */
function intentBody({ text, replicas, verify, maxTokens }: Draw): object {
  const task = maxTokens % 2 === 0 ? { task: 'completion', stop: ['.'] } : {}
  return { model: 'cfab-tiny', prompt: text, replicas, verify, max_tokens: maxTokens, ...task }
}

function chatBody({ text, replicas, verify, maxTokens }: Draw, stream: boolean): object {
  const messages = [{ role: 'user', content: text }]
  return { model: 'cfab-tiny', messages, stream, max_tokens: maxTokens, cfab: { replicas, verify } }
}

function post(path: string, key: string, body: object, bearer?: string): Message {
  const authorization = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
  const headers = { 'content-type': 'application/json', 'idempotency-key': key, ...authorization }
  return { method: 'POST', path, headers, body: JSON.stringify(body) }
}

/** Whoever changes its mind still gets a settlement. */
async function cancelOne(target: LoadTarget, book: Book, random: SeededRandom): Promise<void> {
  const jobs = [...book.promised.values()].filter(({ wish }) => wish.kind === 'intent').slice(-CLIENT_COUNT)
  const job = jobs[random.below(Math.max(1, jobs.length))]
  if (job === undefined) return
  const message: Message = { method: 'DELETE', path: `/api/v1/p2p/jobs/${job.id}`, headers: {} }
  const answer = await send(target.address, message, ANSWER_MS).catch(() => undefined)
  if (answer === undefined) return
  book.count('cancels answered')
  if (answer.status !== 202 && answer.status !== 503) book.violate(`cancel answered ${answer.status} ${answer.body}`)
}

/** Whom the clients talk to: the node's own accounts, and the key with which they may mint. */
export async function loadTarget(address: string, home: string): Promise<LoadTarget> {
  const { user, node } = await statusOf(address)
  const adminKey = readFileSync(join(home, 'data', 'admin.key'), 'utf8').trim()
  return { address, user, node, adminKey }
}

type Status = {
  readonly user: string
  readonly node: string
  readonly swarm: string
  readonly jobs: { readonly open: number }
}

export async function statusOf(address: string): Promise<Status> {
  const status: unknown = await getJson(`${address}/api/v1/status`)
  if (!isStatus(status)) throw new Error(`no status: ${JSON.stringify(status)}`)
  return status
}

function isStatus(value: unknown): value is Status {
  return typeof value === 'object' && value !== null && 'swarm' in value && 'user' in value && 'jobs' in value
}
