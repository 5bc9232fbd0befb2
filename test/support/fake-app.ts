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
  JobRequest,
  JobTimeline,
  ModelView,
  QuorumView,
  RunningModelView,
  StatusView,
} from '../../node/runtime/app.ts'
import type { TransferRow } from '../../node/runtime/ports.ts'
import { plotOf } from '../../node/simulation/plot.ts'
import { runSimulation } from '../../node/simulation/run.ts'
import {
  emit,
  FAKE_DIMENSIONS,
  FAKE_PRICE,
  type FakeJob,
  fakeView,
  outcome,
  promptOf,
  replay,
  script,
} from './fake-jobs.ts'

const USER = peerIdOf(new Uint8Array(32).fill(1))
const NODE = peerIdOf(new Uint8Array(32).fill(2))

export type FakeApp = App & {
  readonly user: typeof USER
  readonly node: typeof NODE
  readonly cancelled: readonly JobId[]
  readonly requests: readonly JobRequest[]
  /** Intents signed elsewhere, as they came through. */
  readonly signed: readonly { readonly envelope: Uint8Array; readonly payload: Uint8Array }[]
  /** A call of `submit` or `quote` throws this: the next one, or one after as many that do not. */
  failNext(error: unknown, after?: number): void
  setReady(ready: boolean): void
  audits(): number
  /** Models that were loaded and unloaded by name. */
  readonly loads: readonly string[]
}

/** @see script for the prompts with a meaning */
export function createFakeApp(): FakeApp {
  const jobs = new Map<JobId, FakeJob>()
  const nonces = new Map<bigint, { readonly id: JobId; readonly content: string }>()
  const transfers: TransferRow[] = []
  const keys = new Map<string, { readonly content: string; readonly row: TransferRow }>()
  const cancelled: JobId[] = []
  const requests: JobRequest[] = []
  const signed: { envelope: Uint8Array; payload: Uint8Array }[] = []
  let failure: { readonly error: unknown; after: number } | undefined
  let ready = true
  let audits = 0
  const loads: string[] = []

  const throwFailure = (): void => {
    const failing = failure
    if (failing === undefined) return
    failing.after -= 1
    if (failing.after >= 0) return
    failure = undefined
    throw failing.error
  }

  function start(request: JobRequest): JobHandle {
    const content = JSON.stringify({ ...request, nonce: null, maxBudget: String(request.maxBudget) })
    const used = request.nonce === undefined ? undefined : nonces.get(request.nonce)
    if (used !== undefined && used.content !== content) throw new FabricError('CF_JOB_NONCE_USED')
    if (used !== undefined) return { ...handleOf(used.id), repeated: true }
    const id = jobIdFor(jobs.size, request)
    if (request.nonce !== undefined) nonces.set(request.nonce, { id, content })
    const job: FakeJob = {
      request,
      view: fakeView(id, request, { user: USER, worker: NODE }),
      events: [],
      wake: new Set(),
      done: false,
    }
    jobs.set(id, job)
    requests.push(request)
    emit(job, script(job))
    return handleOf(id)
  }

  function handleOf(id: JobId): JobHandle {
    const job = jobs.get(id)
    if (job === undefined) throw new FabricError('CF_JOB_UNKNOWN')
    const { verifiable } = job.view
    return { id, promptTokens: 7, repeated: false, verifiable, progress: (signal) => replay(job, signal) }
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
    failNext: (error, after = 0) => {
      failure = { error, after }
    },
    setReady: (value) => {
      ready = value
    },
    audits: () => audits,
    loads,
    ready: () => ({ ready, reason: ready ? '' : 'the compute host is starting' }),
    status: statusView,
    models: () => MODELS,
    running: async () => [RUNNING],
    loadModel: async (id) => {
      throwFailure()
      if (!MODELS.some((model) => model.id === id)) throw new FabricError('CF_MODEL_UNKNOWN', { model: id })
      loads.push(`load ${id}`)
    },
    unloadModel: async (id) => {
      throwFailure()
      if (!MODELS.some((model) => model.id === id)) throw new FabricError('CF_MODEL_UNKNOWN', { model: id })
      loads.push(`unload ${id}`)
    },
    peers: () => [
      {
        id: NODE,
        self: true,
        state: 'alive',
        roles: ['worker', 'validator', 'edge'],
        region: 'local',
        weight: 1,
        models: MODELS.map(({ id }) => id),
        ...{ addresses: [], rttMs: null, load: 0.5, slots: 8, tokensPerSecond: 120 },
        ineligible: null,
      },
    ],
    invite: async ({ forPeer, lifetimeMs, grant }) => {
      throwFailure()
      return `cfi1${forPeer ?? 'anybody'}-${lifetimeMs}-${grant}`
    },
    roster: (epoch) => (epoch === undefined || epoch === 0n ? Uint8Array.of(1, 2, 3) : undefined),
    quote: async (request) => {
      throwFailure()
      checkRequest(request)
      return {
        model: request.model,
        promptTokens: 7,
        maxTokens: request.maxTokens ?? 256,
        replicas: request.replicas,
        hold: FAKE_PRICE,
        ...{ base: 15_000n, bonus: 3_000n, speed: 0n, audits: 0n, fee: 2_000n },
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
        input: { task: 'chat', messages: [{ role: 'user', content: 'signed' }] },
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
    timeline: async (id) => timelineOf(jobs.get(id)),
    explain: () => undefined,
    quorum: async () => QUORUM,
    cancel: (id) => {
      const job = jobs.get(id)
      if (job === undefined) throw new FabricError('CF_JOB_UNKNOWN')
      cancelled.push(id)
      if (!job.done)
        emit(job, [{ type: 'finish', finish: 'aborted', completionTokens: 0 }, outcome(job, 'refunded', 'cancelled')])
    },
    receipt: (id) => (jobs.get(id)?.done === true ? utf8(`receipt of ${id}`) : undefined),
    evidence: (id, replica = 0, withPrompt) => {
      const job = jobs.get(id)
      if (job === undefined) throw new FabricError('CF_JOB_UNKNOWN')
      if (!job.done) throw new FabricError('CF_JOB_NOT_SETTLED', { job: id })
      return utf8(`evidence about ${replica} of ${id}${withPrompt ? ' with its prompt' : ''}`)
    },
    dispute: async (id, replica, claim) => {
      throwFailure()
      if (!jobs.has(id)) throw new FabricError('CF_JOB_UNKNOWN')
      return { replica, claim, opener: USER, openedMs: 0, bond: 20_000n, outcome: null }
    },
    policies: fakePolicies(),
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
    simulate: async (request) => {
      const report = runSimulation(request, request.seed ?? 1)
      if (report === undefined) throw new FabricError('CF_CONTROL_SIMULATION_DEADLINE')
      return { report, svg: plotOf(report) }
    },
    audit: async () => {
      audits += 1
      await new Promise((resolve) => setTimeout(resolve, 5))
      return { zeroSum: ready, total: ready ? 0n : 1n, accounts: 3, entries: 12n, replayMatches: ready, openHolds: 0 }
    },
  }
}

function checkRequest(request: JobRequest): void {
  if (!MODELS.some(({ id }) => id === request.model)) throw new FabricError('CF_MODEL_UNKNOWN', { param: 'model' })
  const texts = request.input.task === 'embedding' ? request.input.texts : [promptOf(request)]
  const long = texts.findIndex((text) => text.startsWith('endless'))
  if (long >= 0) throw new FabricError('CF_JOB_CONTEXT_EXCEEDED', { index: long, contextTokens: 1_024 })
  if (request.maxBudget !== undefined && request.maxBudget < FAKE_PRICE)
    throw new FabricError('CF_JOB_OVER_BUDGET', { param: 'max_budget', hold: FAKE_PRICE })
}

function hashText(text: string): string {
  return digestOf(sha256(utf8(text)))
}

function jobIdFor(index: number, request: JobRequest): JobId {
  const id = parseJobId(hashText(`job ${index} ${request.model}`))
  if (id === undefined) throw new FabricError('CF_JOB_INVALID')
  return id
}

function timelineOf(job: FakeJob | undefined): JobTimeline | undefined {
  if (job === undefined) return undefined
  const phases = job.events.flatMap((event) =>
    event.type === 'phase' ? [{ phase: event.phase, atMs: event.atMs }] : [],
  )
  return { id: job.view.id, phases, replicas: job.view.replicas, votes: [], transfers: [] }
}

const QUORUM: QuorumView = {
  epoch: 1n,
  setHash: 'd'.repeat(64),
  validators: [{ id: NODE, self: true }],
  quorum: 3,
  faulty: 1,
  overlapping: false,
  recent: [],
}

function accountView(id: AccountId, recent: readonly TransferRow[]): AccountView {
  return { id, spendable: 1_000_500_000n, held: FAKE_PRICE, pending: 0n, recent }
}

const RUNNING: RunningModelView = {
  ...{ id: 'cfab-tiny', task: 'chat', state: 'ready', reason: null, bytes: 2_600_000, memoryBytes: 190_000_000 },
  ...{ residentBytes: 250_000_000, driver: { kind: 'native', reason: '' }, engine: 'fake engine' },
  ...{ slots: 8, slotsBusy: 0, waiting: 0, tokensPerSecond: 12.5, loadedMs: 1_700_000_000_000 },
  ...{ idleMs: 4_000, expiresMs: null, pinned: true },
}

const CHAT_MODEL: ModelView = {
  id: 'cfab-tiny',
  digest: 'a'.repeat(64),
  bytes: 2_600_000,
  parameters: '2.4 M',
  contextTokens: 1_024,
  loaded: true,
  createdMs: 1_700_000_000_000,
  task: 'chat',
  dimensions: 0,
  toolFormat: 'none',
}
const THINK_FORMAT = { open: '<think>', close: '</think>', startsOpen: { default: false, on: true, off: false } }
const MODELS: readonly ModelView[] = [
  CHAT_MODEL,
  { ...CHAT_MODEL, id: 'caller', digest: 'd'.repeat(64), toolFormat: 'hermes', thinkFormat: THINK_FORMAT },
  { ...CHAT_MODEL, id: 'use-lite-en', digest: 'c'.repeat(64), task: 'embedding', dimensions: FAKE_DIMENSIONS },
]

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
    ...{ epoch: 3n, mesh: null },
    engine: 'fake',
    hostState: 'ready',
    driver: { kind: 'native', reason: '' },
    models: [{ id: 'cfab-tiny', task: 'chat', state: 'ready', reason: null }],
    validators: 4,
    quorum: 3,
    account: accountView(userAccount(USER), []),
    earned: { ...accountView(nodeAccount(NODE), []), spendable: 9_000n, held: 0n },
    jobs: { open: 0, settledLastHour: 2, refundedLastHour: 1 },
    idle: 'no job asks for a worker',
  }
}

/** One table in force; a file of one byte is taken for it, anything else is none. */
function fakePolicies(): App['policies'] {
  const thresholds = { suspectMicro: [4_000, 3_000, 2_000, 1_000], failMicro: [8_000, 6_000, 4_000, 2_000] }
  const row = { prover: '*', verifier: 'haswell *', temperature: 1, ...thresholds, worstMicro: 900_000 }
  const policy = {
    ...{ id: digestOf(new Uint8Array(32).fill(3)), model: digestOf(new Uint8Array(32).fill(4)) },
    ...{ modelName: 'cfab-tiny', engine: 'llama.cpp/b1 0123 haswell linux-x64', inForce: true },
    rows: [{ ...row, honestAudits: 3_000, honestTokens: 300_000 }],
  }
  return {
    list: () => [policy],
    publish: async (file) => {
      if (file.length !== 1) throw new FabricError('CF_CONTROL_BAD_REQUEST', { param: 'file', expected: 'one byte' })
      return { policy, calibratedBy: USER }
    },
  }
}
