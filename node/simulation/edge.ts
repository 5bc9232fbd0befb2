/**
 * The edge of a simulated swarm: drives each job's real machine and performs what it owes, in the order of node/runtime/loop.ts, with
 * callbacks where the daemon has promises and without a disk: this edge never restarts.
 */
import type { JobId } from '../../core/ids.ts'
import { admitJob } from '../../core/job/admission.ts'
import { type Effect, effectKey, type Job, type JobEvent } from '../../core/job/job.ts'
import { assignmentOf, step } from '../../core/job/machine.ts'
import { owed } from '../../core/job/owed.ts'
import type { Applied, Refused } from '../../core/log/apply.ts'
import { holdBody } from '../../core/log/bodies.ts'
import { performLogging, propose } from './edge-log.ts'
import { performVoting } from './edge-votes.ts'
import { performWork } from './edge-work.ts'
import { START_MS } from './swarm.ts'
import type { ValidatorPeer } from './validator-peer.ts'
import type { Wish } from './wish.ts'
import type { WorkerPeer } from './worker-peer.ts'
import { nowMs, type World } from './world.ts'

export type Peers = {
  readonly workers: ReadonlyMap<string, WorkerPeer>
  readonly validators: readonly ValidatorPeer[]
}
/** What an effect brought: events for the job, or the wish to be tried again. */
export type Done = (performed: readonly JobEvent[] | 'retry') => void

type Run = { cancelled: boolean }
type Entry = { job: Job; readonly running: Map<string, Run> }

const RETRY_MS = 50
const RETRY_MS_MAX = 5_000

export class Edge {
  /** Submissions that have ended: settled, or refused by the log. */
  endedCount = 0
  readonly #world: World
  readonly #peers: Peers
  readonly #entries = new Map<JobId, Entry>()

  constructor(world: World, peers: Peers) {
    this.#world = world
    this.#peers = peers
  }

  /** A user's intent arrives; its hold is proposed until the log has answered. */
  submit(wish: Wish): void {
    propose(this.#world, `hold/${wish.id}`, 'hold', holdBody(this.#world.swarm.edge.peer, wish.envelope), (result) => {
      if (result === undefined) this.#world.scheduler.after(RETRY_MS, () => this.submit(wish))
      else this.#held(wish, result)
    })
  }

  #held(wish: Wish, result: Applied | Refused): void {
    const { log, swarm, recorder } = this.#world
    const { id, user, intent, envelope } = wish
    if (result.status === 'refused') {
      recorder.refused(id, result.reason)
      this.endedCount += 1
      return
    }
    const { hash, entry, transfers } = result
    const { index, previous, timeMs } = entry
    const deadlineMs = timeMs + BigInt(swarm.genesis.policy.jobMs)
    const amount = transfers.find(({ op }) => op === 'hold')?.amount ?? 0n
    const hold = { edge: swarm.edge.peer, hash, index, previous, timeMs, deadlineMs, amount }
    const job = admitJob({ id, user, intent, intentEnvelope: envelope, hold, state: log.state, roster: swarm.roster })
    recorder.admitted(job)
    this.#entries.set(id, { job, running: new Map() })
    this.#tickAt(id, deadlineMs)
    this.#startOwed(id)
  }

  #tell(id: JobId, events: readonly JobEvent[]): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    for (const event of events) {
      const before = entry.job
      entry.job = step(before, event)
      if (entry.job !== before) this.#became(before, entry.job)
    }
    this.#startOwed(id)
  }

  #became(before: Job, after: Job): void {
    const { work, recorder } = this.#world
    work.stepped(before, after)
    if (before.phase === after.phase) return
    recorder.became(after)
    if (after.phase === 'verified') work.judged(after)
    if (after.phase === 'executing' || after.phase === 'committed') {
      const { commitByMs, revealByMs } = assignmentOf(after.assignment)
      this.#tickAt(after.id, after.phase === 'executing' ? commitByMs : revealByMs)
    }
    if (after.phase !== 'settled') return
    work.settled(after)
    this.#entries.delete(after.id)
    this.endedCount += 1
  }

  /** The machine hears the time when it matters, not every quarter of a second. */
  #tickAt(id: JobId, logMs: bigint): void {
    const { scheduler } = this.#world
    const delayMs = Math.max(0, Number(logMs) - START_MS - scheduler.nowMs)
    scheduler.after(delayMs, () => this.#tell(id, [{ type: 'tick', nowMs: nowMs(this.#world) }]))
  }

  #startOwed(id: JobId): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    const due = new Map(owed(entry.job).map((effect) => [effectKey(effect), effect]))
    for (const [key, run] of entry.running) {
      if (due.has(key)) continue
      run.cancelled = true
      entry.running.delete(key)
    }
    for (const [key, effect] of due) {
      if (entry.running.has(key)) continue
      const run: Run = { cancelled: false }
      entry.running.set(key, run)
      this.#perform(entry, key, effect, run, RETRY_MS)
    }
  }

  #perform(entry: Entry, key: string, effect: Effect, run: Run, waitMs: number) {
    const { scheduler, recorder } = this.#world
    const { id } = entry.job
    const tell = (event: JobEvent): void => {
      if (!run.cancelled) this.#tell(id, [event])
    }
    performEffect(this.#world, this.#peers, entry.job, effect, tell, (performed) => {
      if (run.cancelled) return
      if (performed !== 'retry') {
        entry.running.delete(key)
        return this.#tell(id, performed)
      }
      recorder.retries += 1
      scheduler.after(waitMs, () => {
        if (!run.cancelled) this.#perform(entry, key, effect, run, Math.min(waitMs * 2, RETRY_MS_MAX))
      })
    })
  }
}

function performEffect(
  world: World,
  peers: Peers,
  job: Job,
  effect: Effect,
  tell: (event: JobEvent) => void,
  done: Done,
) {
  switch (effect.type) {
    case 'offer':
    case 'execute':
    case 'reveal':
      return performWork(world, peers, job, effect, tell, done)
    case 'audit':
      // The genesis of a simulated swarm switches audits off: what they would find is the market's simulation to say.
      return done([{ type: 'audited', audits: [] }])
    case 'vote-assignment':
    case 'vote-commit-set':
    case 'vote-findings':
    case 'vote-settlement':
      return performVoting(world, peers, job, effect, done)
    case 'log-assignment':
    case 'log-results':
    case 'log-settlement':
    case 'expire':
      return performLogging(world, job, done)
  }
}
