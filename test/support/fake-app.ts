/** The control plane's App with scripted jobs: no engine, no ledger, no disk. A prompt chooses how its job goes. */

import { sha256 } from '#core/hash'
import { utf8 } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import {
  type AccountId,
  digestOf,
  type JobId,
  nodeAccount,
  parseJobId,
  parseSwarmId,
  peerIdOf,
  userAccount,
} from '../../core/ids.ts'
import type {
  AccountView,
  App,
  JobHandle,
  JobOutcome,
  JobProgress,
  JobRequest,
  JobView,
  ModelView,
  StatusView,
} from '../../node/runtime/app.ts'
import type { TransferRow } from '../../node/runtime/ports.ts'

const PRICE = 20_000n
export const FAKE_WORDS = ['Once', ' upon', ' a', ' time', ' 🌍', '.'] as const
export const FAKE_TEXT = FAKE_WORDS.join('')

const USER = peerIdOf(new Uint8Array(32).fill(1))
const NODE = peerIdOf(new Uint8Array(32).fill(2))

type FakeJob = {
  readonly request: JobRequest
  readonly view: JobView
  readonly events: JobProgress[]
  readonly wake: Set<() => void>
  done: boolean
}

export type FakeApp = App & {
  readonly user: typeof USER
  readonly node: typeof NODE
  readonly cancelled: readonly JobId[]
  readonly requests: readonly JobRequest[]
  /** Intents signed elsewhere, as they came through. */
  readonly signed: readonly { readonly envelope: Uint8Array; readonly payload: Uint8Array }[]
  /** The next call of `submit` or `quote` throws this. */
  failNext(error: unknown): void
  setReady(ready: boolean): void
  audits(): number
}

/**
 * Prompts with a meaning: `slow` never finishes by itself, `late` finishes and never settles, `fail <reason>` is refunded before a token,
 * `reject` is answered and then refunded, `flood <count>` streams that many tokens as fast as it is read.
 */
export function createFakeApp(): FakeApp {
  const jobs = new Map<JobId, FakeJob>()
  const nonces = new Map<bigint, { readonly id: JobId; readonly content: string }>()
  const transfers: TransferRow[] = []
  const keys = new Map<string, { readonly content: string; readonly row: TransferRow }>()
  const cancelled: JobId[] = []
  const requests: JobRequest[] = []
  const signed: { envelope: Uint8Array; payload: Uint8Array }[] = []
  let failure: { readonly error: unknown } | undefined
  let ready = true
  let audits = 0

  const throwFailure = (): void => {
    const failing = failure
    failure = undefined
    if (failing !== undefined) throw failing.error
  }

  function start(request: JobRequest): JobHandle {
    const content = JSON.stringify({ ...request, nonce: null, maxBudget: String(request.maxBudget) })
    const used = request.nonce === undefined ? undefined : nonces.get(request.nonce)
    if (used !== undefined && used.content !== content) throw new FabricError('CF_JOB_NONCE_USED')
    if (used !== undefined) return { ...handleOf(used.id), repeated: true }
    const id = jobIdFor(jobs.size, request)
    if (request.nonce !== undefined) nonces.set(request.nonce, { id, content })
    const job: FakeJob = { request, view: viewOf(id, request), events: [], wake: new Set(), done: false }
    jobs.set(id, job)
    requests.push(request)
    emit(job, script(job, request.messages.at(-1)?.content ?? ''))
    return handleOf(id)
  }

  function handleOf(id: JobId): JobHandle {
    const job = jobs.get(id)
    if (job === undefined) throw new FabricError('CF_JOB_UNKNOWN')
    return { id, promptTokens: 7, repeated: false, progress: (signal) => replay(job, signal) }
  }

  function book(content: string, row: Omit<TransferRow, 'sequence' | 'hash' | 'id' | 'timeMs'>): TransferRow {
    const earlier = keys.get(row.idempotencyKey)
    if (earlier !== undefined && earlier.content !== content) throw new FabricError('CF_LEDGER_IDEMPOTENCY_CONFLICT')
    if (earlier !== undefined) return earlier.row
    const sequence = BigInt(transfers.length + 1) * 64n
    const full = {
      ...row,
      id: hashText(`transfer ${sequence}`),
      sequence,
      timeMs: 1_700_000_000_000 + transfers.length,
      hash: hashText(`entry ${sequence}`),
    }
    transfers.push(full)
    keys.set(row.idempotencyKey, { content, row: full })
    return full
  }

  const listTransfers: App['transfers'] = (filter) =>
    transfers
      .filter((row) => filter.account === undefined || row.debit === filter.account || row.credit === filter.account)
      .filter(
        (row) =>
          (filter.jobId === undefined || row.jobId === filter.jobId) &&
          (filter.before === undefined || row.sequence < filter.before),
      )
      .reverse()
      .slice(0, filter.limit)

  return {
    user: USER,
    node: NODE,
    cancelled,
    requests,
    signed,
    failNext: (error) => {
      failure = { error }
    },
    setReady: (value) => {
      ready = value
    },
    audits: () => audits,
    ready: () => ({ ready, reason: ready ? '' : 'the compute host is starting' }),
    status: statusView,
    models: () => [MODEL],
    peers: () => [
      {
        id: NODE,
        self: true,
        state: 'alive',
        roles: ['worker', 'validator', 'edge'],
        region: 'local',
        weight: 1,
        models: ['cfab-tiny'],
        ineligible: null,
      },
    ],
    quote: async (request) => {
      throwFailure()
      checkRequest(request)
      return {
        model: request.model,
        promptTokens: 7,
        maxTokens: request.maxTokens ?? 256,
        replicas: request.replicas,
        hold: PRICE,
        base: 15_000n,
        bonus: 3_000n,
        fee: 2_000n,
        eligible: [NODE],
      }
    },
    submit: async (request) => {
      throwFailure()
      checkRequest(request)
      return start(request)
    },
    submitSigned: async (envelope, payload) => {
      throwFailure()
      signed.push({ envelope: envelope.slice(), payload: payload.slice() })
      return start({
        model: 'cfab-tiny',
        messages: [{ role: 'user', content: 'signed' }],
        temperatureMilli: 0,
        topK: 40,
        replicas: 1,
        verify: 'after',
      })
    },
    watch: (id) => (jobs.has(id) ? handleOf(id) : undefined),
    job: (id) => jobs.get(id)?.view,
    jobs: (limit, beforeMs) =>
      [...jobs.values()]
        .map((job) => job.view)
        .filter((view) => beforeMs === undefined || view.createdMs < beforeMs)
        .reverse()
        .slice(0, limit),
    cancel: (id) => {
      const job = jobs.get(id)
      if (job === undefined) throw new FabricError('CF_JOB_UNKNOWN')
      cancelled.push(id)
      if (!job.done)
        emit(job, [{ type: 'finish', finish: 'aborted', completionTokens: 0 }, outcome(job, 'refunded', 'cancelled')])
    },
    receipt: (id) => (jobs.get(id)?.done === true ? utf8(`receipt of ${id}`) : undefined),
    genesis: () => utf8('genesis'),
    account: (id) => {
      if (id !== userAccount(USER) && id !== nodeAccount(NODE)) throw new FabricError('CF_LEDGER_ACCOUNT_UNKNOWN')
      return accountView(id, listTransfers({ account: id, limit: 10 }))
    },
    transfers: listTransfers,
    mint: async (to, amount, reason, idempotencyKey) =>
      book(`mint ${to} ${amount} ${reason}`, {
        kind: 'mint',
        debit: 'mint',
        credit: to,
        amount,
        reason,
        jobId: null,
        nodeId: null,
        idempotencyKey,
      }),
    transfer: async ({ kind, from, to, amount, reason, jobId, idempotencyKey }) => {
      if (amount > 1_000_500_000n) throw new FabricError('CF_LEDGER_INSUFFICIENT_CREDIT')
      return book(`${kind} ${from} ${to} ${amount} ${reason}`, {
        kind,
        debit: from,
        credit: to,
        amount,
        reason,
        jobId,
        nodeId: null,
        idempotencyKey,
      })
    },
    audit: async () => {
      audits += 1
      await new Promise((resolve) => setTimeout(resolve, 5))
      return { zeroSum: ready, total: ready ? 0n : 1n, accounts: 3, entries: 12n, replayMatches: ready, openHolds: 0 }
    },
  }
}

function checkRequest(request: JobRequest): void {
  if (request.model !== 'cfab-tiny') throw new FabricError('CF_MODEL_UNKNOWN', { param: 'model' })
  if (request.maxBudget !== undefined && request.maxBudget < PRICE)
    throw new FabricError('CF_JOB_OVER_BUDGET', { param: 'max_budget', hold: PRICE })
}

function script(job: FakeJob, prompt: string): readonly JobProgress[] {
  const [word = '', argument = ''] = prompt.split(' ')
  const begun = [phase('admitted'), phase('assigned'), phase('executing')]
  if (word === 'fail') return [...begun, outcome(job, 'refunded', argument)]
  if (word === 'slow') return [...begun, tokens('Once')]
  const words = word === 'flood' ? Array.from({ length: Number(argument) }, () => '0123456789abcdef') : FAKE_WORDS
  const told = [...begun, ...words.map(tokens), finish(words.length), phase('committed')]
  if (word === 'late') return told
  const ending = word === 'reject' ? outcome(job, 'rejected', 'output_rejected') : outcome(job, 'verified', '')
  return [...told, phase('settled'), ending]
}

const tokens = (text: string): JobProgress => ({ type: 'tokens', ids: [1], text })
const phase = (name: string): JobProgress => ({ type: 'phase', phase: name, atMs: 1_700_000_000_000, detail: '' })
const finish = (completionTokens: number): JobProgress => ({ type: 'finish', finish: 'stop', completionTokens })

function outcome(job: FakeJob, said: JobOutcome['outcome'], reason: string): JobProgress {
  const cost = said === 'verified' ? 12_345n : 0n
  return {
    type: 'outcome',
    outcome: said,
    assurance: 'local',
    reason,
    receiptId: job.view.id,
    cost,
    refund: PRICE - cost,
  }
}

function emit(job: FakeJob, events: readonly JobProgress[]): void {
  for (const event of events) job.events.push(event)
  job.done ||= events.some((event) => event.type === 'outcome')
  for (const wake of job.wake) wake()
}

async function* replay(job: FakeJob, signal: AbortSignal): AsyncGenerator<JobProgress, void> {
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

function hashText(text: string): string {
  return digestOf(sha256(utf8(text)))
}

function jobIdFor(index: number, request: JobRequest): JobId {
  const id = parseJobId(hashText(`job ${index} ${request.model}`))
  if (id === undefined) throw new FabricError('CF_JOB_INVALID')
  return id
}

function viewOf(id: JobId, request: JobRequest): JobView {
  const failed = request.messages.at(-1)?.content.startsWith('fail') === true
  return {
    id,
    phase: 'settled',
    createdMs: 1_700_000_000_000,
    model: request.model,
    user: USER,
    replicas: [{ worker: NODE, state: 'revealed', verdict: 'pass', tokens: FAKE_WORDS.length }],
    hold: PRICE,
    cost: failed ? 0n : 12_345n,
    refund: failed ? PRICE : PRICE - 12_345n,
    outcome: failed ? 'refunded' : 'verified',
    assurance: 'local',
    reason: null,
    text: FAKE_TEXT,
  }
}

function accountView(id: AccountId, recent: readonly TransferRow[]): AccountView {
  return { id, spendable: 1_000_500_000n, held: PRICE, pending: 0n, recent }
}

const MODEL: ModelView = {
  id: 'cfab-tiny',
  digest: 'a'.repeat(64),
  bytes: 2_600_000,
  parameters: '2.4 M',
  contextTokens: 1_024,
  loaded: true,
  createdMs: 1_700_000_000_000,
}

function statusView(): StatusView {
  const swarm = parseSwarmId('b'.repeat(64))
  if (swarm === undefined) throw new FabricError('CF_JOB_INVALID')
  return {
    node: NODE,
    user: USER,
    swarm,
    region: 'local',
    local: true,
    version: '0.1.0',
    startedMs: 1_700_000_000_000,
    log: `sqlite@${NODE}`,
    logNote: 'one validator serves the log: a single point of failure',
    engine: 'fake',
    hostState: 'ready',
    validators: 4,
    quorum: 3,
    account: accountView(userAccount(USER), []),
    earned: { ...accountView(nodeAccount(NODE), []), spendable: 9_000n, held: 0n },
    jobs: { open: 0, settledLastHour: 2, refundedLastHour: 1 },
    idle: 'no job asks for a worker',
  }
}
