/**
 * An edge: takes intents, drives each job's real machine and performs what it owes, in the order of node/runtime/loop.ts (event, step,
 * journal, effects), with callbacks where the daemon has promises.
 */
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { JobId, PeerId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { admitJob } from '../../core/job/admission.ts'
import { type Effect, effectKey, type Job, type JobEvent } from '../../core/job/job.ts'
import { encodeJob, parseJob } from '../../core/job/journal.ts'
import { step } from '../../core/job/machine.ts'
import { owed } from '../../core/job/owed.ts'
import { stopCodec } from '../../core/job/proposal.ts'
import type { Applied } from '../../core/log/apply.ts'
import { holdBody, holdCodec } from '../../core/log/bodies.ts'
import { openJobInputs } from '../../core/log/inputs.ts'
import { type Intent, intentCodec, intentFault, jobIdOf } from '../../core/log/intent.ts'
import { askToStop, performWork } from './edge-execution.ts'
import { handOut, performLogging } from './edge-settling.ts'
import { performVoting } from './edge-voting.ts'
import type { LogResult } from './log-service.ts'
import type { Answer, SimNode } from './node.ts'
import { factsOf } from './world.ts'

/** `honest`; `splitter` tells validators different things; `heir` takes up jobs that came to it and that another edge holds. */
export const EDGE_KINDS = ['honest', 'splitter', 'heir'] as const
export type EdgeKind = (typeof EDGE_KINDS)[number]

/** One try at an effect; a try that is cancelled brings no events any more. */
export type Run = { cancelled: boolean }
export type Done = (performed: readonly JobEvent[] | 'retry') => void
type Entry = { job: Job; inbox: JobEvent[]; journaling: boolean; readonly running: Map<string, Run> }
type Submission = {
  readonly id: JobId
  readonly user: Job['user']
  readonly intent: Intent
  readonly envelope: Uint8Array
}

const RETRY_MS = 60
const RETRY_MS_MAX = 1_000
const NOTHING = new Uint8Array()
/** Events that a crash may forget: the work they speak of is done again anyway. */
const VOLATILE: ReadonlySet<JobEvent['type']> = new Set(['streaming', 'delivered', 'answered', 'silent'])

export class Edge {
  readonly node: SimNode
  readonly kind: EdgeKind
  /** Jobs' first speakers: what the client reads. */
  readonly streams = new Map<JobId, number>()
  #entries = new Map<JobId, Entry>()
  #submitting = new Set<JobId>()

  constructor(node: SimNode, kind: EdgeKind) {
    this.node = node
    this.kind = kind
    node.runs(() => this.#boot())
  }

  job(id: JobId): Job | undefined {
    return this.#entries.get(id)?.job
  }

  get openCount(): number {
    return this.#entries.size + this.#submitting.size
  }

  inputs(id: JobId): Uint8Array {
    return this.node.disk.get(`inputs/${id}`) ?? NOTHING
  }

  dispatch(id: JobId, event: JobEvent): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    entry.inbox.push(event)
    this.#drain(entry)
  }

  #boot(): void {
    this.#entries = new Map()
    this.#submitting = new Set()
    this.streams.clear()
    const { node } = this
    node.on('submit', ({ parts }, answer, refuse) =>
      this.#submit(parts[0] ?? NOTHING, parts[1] ?? NOTHING, answer, refuse),
    )
    node.on('cancel', ({ text }) => this.#cancel(text))
    node.on('tokens', ({ text }) => this.#tokens(text))
    node.on('log/news', ({ text }) => node.sawLog(Number(text)))
    node.onNewsOfLog(() => this.#followLog())
    node.onTick(() => {
      for (const id of [...this.#entries.keys()]) this.dispatch(id, { type: 'tick', nowMs: node.clock.nowMs() })
    })
    for (const [, bytes] of node.disk.rows('job/')) {
      const job = parseJob(bytes)
      node.world.checkers.restarted(node.name, job)
      this.#adopt(job)
    }
    for (const [key, envelope] of node.disk.rows('submission/')) {
      if (node.disk.get(`job/${key.slice('submission/'.length)}`) === undefined) this.#resume(envelope)
    }
    this.#followLog()
  }

  /** Before the workers have their orders a cancel ends the job; while they run it asks them to stop early. */
  #cancel(name: string): void {
    const { node } = this
    for (const [id, { job }] of this.#entries) {
      if (id !== name) continue
      const stop = sealAs(stopCodec, { jobId: id, attempt: job.attempt }, node.world.genesis.swarmId, node.key)
      this.dispatch(id, { type: 'cancel' })
      this.dispatch(id, { type: 'stopped', stop })
    }
  }

  /** The inputs are on disk before the hold is proposed: an edge that is back finishes what it may have begun. */
  #submit(envelope: Uint8Array, inputs: Uint8Array, answer: Answer, refuse: (reason: string) => void) {
    const opened = this.#open(envelope)
    if (opened === undefined || openJobInputs(opened.intent, inputs).action !== 'accept')
      return answer('refused: invalid')
    const { id } = opened
    if (this.#entries.has(id)) return answer('repeated')
    // No answer yet: the client asks again.
    if (this.#submitting.has(id)) return refuse('busy')
    this.#submitting.add(id)
    const rows = [
      [`submission/${id}`, envelope],
      [`inputs/${id}`, inputs],
    ] as const
    this.node.write(rows, () => this.#hold(opened, (result) => this.#held(opened, result, answer)))
  }

  #resume(envelope: Uint8Array): void {
    const opened = this.#open(envelope)
    if (opened === undefined) return
    this.#submitting.add(opened.id)
    this.#hold(opened, (result) => this.#held(opened, result, () => {}))
  }

  #open(envelope: Uint8Array): Submission | undefined {
    const opened = openAs(intentCodec, envelope, this.node.world.genesis.swarmId)
    if (opened.action !== 'accept') return undefined
    const { value: intent, signer: user, body } = opened.value
    if (intentFault(intent) !== undefined || factsOf(intent.modelDigest) === undefined) return undefined
    return { id: jobIdOf(this.node.world.genesis.swarmId, body), user, intent, envelope }
  }

  #hold(submission: Submission, done: (result: LogResult) => void): void {
    const key = `${this.node.name}/hold/${submission.id}`
    this.node.propose('hold', key, holdBody(this.node.key.peer, submission.envelope), (result) => {
      if (result === undefined) this.node.after(RETRY_MS, () => this.#hold(submission, done))
      else done(result)
    })
  }

  #held(submission: Submission, result: LogResult, answer: Answer) {
    const { node } = this
    const { id } = submission
    if (result.status === 'applied') {
      if (node.world.point(node, 'hold-logged')) return
      return this.#admit(submission, result.applied, result.index, answer)
    }
    this.#submitting.delete(id)
    if (result.reason !== 'job_exists')
      return node.write([[`submission/${id}`, NOTHING]], () => answer(`refused: ${result.reason}`))
    answer('repeated')
    if (this.kind === 'honest') return
    const index = node.world.log.records.findIndex(({ applied }) => applied.kind === 'hold' && applied.jobId === id)
    const record = node.world.log.records[index]
    if (record === undefined || this.#entries.has(id)) return
    node.world.coverage.count('job driven by two edges')
    this.#admit(submission, record.applied, index, () => {})
  }

  #admit({ id, user, intent, envelope }: Submission, applied: Applied, index: number, answer: Answer): void {
    const { node } = this
    const { log, roster, genesis, checkers } = node.world
    const amount = applied.transfers.find((transfer) => transfer.op === 'hold')?.amount ?? 0n
    const { index: at, previous, timeMs } = applied.entry
    const hold = {
      edge: edgeOf(applied),
      hash: applied.hash,
      index: at,
      previous,
      timeMs,
      deadlineMs: timeMs + BigInt(genesis.policy.jobMs),
      amount,
    }
    const job = admitJob({ id, user, intent, intentEnvelope: envelope, hold, state: log.stateAt(index), roster })
    checkers.journaling(node.name, job)
    node.write([[`job/${id}`, encodeJob(job)]], () => {
      checkers.journaled(node.name, job)
      this.#submitting.delete(id)
      answer('admitted')
      node.world.trace.say(`${node.name} ${checkers.jobName(id)} admitted`)
      this.#adopt(job)
    })
  }

  #adopt(job: Job): void {
    if (job.phase === 'settled' || this.#entries.has(job.id)) return
    const entry: Entry = { job, inbox: [], journaling: false, running: new Map() }
    this.#entries.set(job.id, entry)
    this.#startOwed(entry)
  }

  #drain(entry: Entry) {
    if (entry.journaling || entry.inbox.length === 0) return
    const { node } = this
    const { checkers } = node.world
    const before = entry.job
    let [after, isDurable] = [before, true]
    for (const event of entry.inbox.splice(0)) {
      const next = step(after, event)
      checkers.stepped(after, next)
      if (next !== after && !(VOLATILE.has(event.type) && next.phase === after.phase)) isDurable = false
      after = next
    }
    if (after === before) return
    checkers.journaling(node.name, after)
    if (isDurable) return this.#became(entry, after)
    entry.journaling = true
    node.write([[`job/${after.id}`, encodeJob(after)]], () => {
      entry.journaling = false
      checkers.journaled(node.name, after)
      this.#became(entry, after)
      this.#drain(entry)
    })
    node.world.point(node, 'journal-begun')
  }

  #became(entry: Entry, after: Job): void {
    const { node } = this
    const before = entry.job
    entry.job = after
    if (after.attempt > before.attempt) {
      node.world.coverage.count('another attempt')
      this.streams.delete(after.id)
    }
    if (before.phase !== after.phase) {
      const reason = after.phase === 'failed' ? ` (${after.reason})` : ''
      node.world.trace.say(`${node.name} ${node.world.checkers.jobName(after.id)} ${after.phase}${reason}`)
      node.world.coverage.count(`phase: ${after.phase}`)
      if (node.world.point(node, `journaled-${after.phase}`)) return
    }
    if (after.phase === 'executing') askToStop(this, after)
    if (after.phase === 'verified' && before.phase !== 'verified' && this.kind !== 'splitter')
      node.world.checkers.judged(after)
    if (after.phase === 'settled') handOut(this, after)
    this.#startOwed(entry)
  }

  #startOwed(entry: Entry): void {
    const { attempt } = entry.job
    const due = new Map(owed(entry.job).map((effect) => [`${attempt}/${effectKey(effect)}`, effect]))
    for (const [key, run] of entry.running) {
      if (due.has(key)) continue
      run.cancelled = true
      entry.running.delete(key)
    }
    if (entry.job.phase === 'settled') this.#entries.delete(entry.job.id)
    for (const [key, effect] of due) {
      if (entry.running.has(key)) continue
      const run: Run = { cancelled: false }
      entry.running.set(key, run)
      this.#perform(entry, key, effect, run, RETRY_MS)
    }
  }

  #perform(entry: Entry, key: string, effect: Effect, run: Run, waitMs: number): void {
    const { node } = this
    performEffect(this, entry.job, effect, (performed) => {
      if (run.cancelled || entry.running.get(key) !== run) return
      if (performed === 'retry') {
        node.world.coverage.count(`effect tried again: ${effect.type}`)
        node.after(waitMs, () => {
          if (!run.cancelled) this.#perform(entry, key, effect, run, Math.min(waitMs * 2, RETRY_MS_MAX))
        })
        return
      }
      entry.running.delete(key)
      entry.inbox.push(...performed)
      this.#drain(entry)
      // The effect may be owed still, as after an event that did not fit.
      if (!entry.journaling && this.#entries.get(entry.job.id) === entry) this.#startOwed(entry)
    })
  }

  /** Whoever settled a job, its edge hears of it from the log. */
  #followLog(): void {
    for (const id of [...this.#entries.keys()]) {
      const event = this.node.world.log.settledEvent(id, this.node.logIndex)
      if (event !== undefined) this.dispatch(id, event)
    }
  }

  /** The first replica that speaks is the one that the client hears; with `before` nobody is heard until the verdict. */
  #tokens(text: string): void {
    const [name = '', place = ''] = text.split(' ')
    for (const [id, { job }] of this.#entries) {
      if (id !== name || job.intent.verify !== 'after' || this.streams.has(id) || job.phase !== 'executing') continue
      this.streams.set(id, Number(place))
      this.dispatch(id, { type: 'streaming', replica: Number(place) })
    }
  }
}

function performEffect(edge: Edge, job: Job, effect: Effect, done: Done) {
  switch (effect.type) {
    case 'offer':
    case 'execute':
    case 'reveal':
      return performWork(edge, job, effect, done)
    case 'audit':
      // The genesis switches audits off: which outputs are drawn, and what follows, is test/unit's and test/e2e's.
      return done([{ type: 'audited', audits: [] }])
    case 'vote-assignment':
    case 'vote-commit-set':
    case 'vote-findings':
    case 'vote-settlement':
      return performVoting(edge, job, effect, done)
    case 'log-assignment':
    case 'log-results':
    case 'log-settlement':
    case 'expire':
      return performLogging(edge, job, effect, done)
  }
}

function edgeOf({ entry }: Applied): PeerId {
  const hold = holdCodec.decode(entry.body)
  invariant(hold.action === 'accept', 'a hold in the log decodes')
  return hold.value.edge
}
