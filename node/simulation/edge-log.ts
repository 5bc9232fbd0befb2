/** What the edge writes into the region log: holds, assignments, findings, settlements. */
import type { Job, JobEvent } from '../../core/job/job.ts'
import { assignmentOf } from '../../core/job/machine.ts'
import { CHOSEN_NONE, settlementCodec } from '../../core/ledger/settlement.ts'
import type { Applied, Refused } from '../../core/log/apply.ts'
import { assignmentEntryCodec, resultEntryCodec, settlementEntryCodec } from '../../core/log/bodies-certified.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import { expiryOf } from '../../core/log/settling.ts'
import { refundReason } from '../jobs/voting.ts'
import type { Done } from './edge.ts'
import { REQUEST_MS } from './edge-work.ts'
import { nowMs, type World } from './world.ts'

/** @param done  without a result when the log's answer did not come: the same key asks again */
export function propose(
  world: World,
  key: string,
  kind: EntryKind,
  body: Uint8Array,
  done: (result: Applied | Refused | undefined) => void,
): void {
  world.network.request<Applied | Refused>(
    (reply) => reply(world.log.propose(key, kind, body, nowMs(world))),
    REQUEST_MS,
    done,
  )
}

export function performLogging(world: World, job: Job, done: Done) {
  if (job.phase === 'assigned') return logAssignment(world, job, done)
  if ((job.phase === 'verified' || job.phase === 'disputed') && !job.resultsLogged) return logResults(world, job, done)
  if (job.phase === 'failed' && job.expired) return expire(world, job, done)
  if (job.phase === 'verified' || job.phase === 'disputed' || job.phase === 'failed')
    return logSettlement(world, job, done)
  done([])
}

function logAssignment(world: World, job: Job & { phase: 'assigned' }, done: Done): void {
  const { jobId, attempt, workers, answersDigest, commitByMs, revealByMs, overlapping } = assignmentOf(job.assignment)
  const value = { jobId, attempt, workers, answersDigest, commitByMs, revealByMs, overlapping }
  const body = assignmentEntryCodec.encode({ ...value, ...job.certificate })
  propose(world, `assignment/${job.id}`, 'assignment', body, (result) =>
    done(result?.status === 'applied' ? [{ type: 'assignment-logged' }] : 'retry'),
  )
}

function logResults(world: World, job: Job & { phase: 'verified' | 'disputed' }, done: Done): void {
  let [waiting, isDone] = [job.findings.length, true]
  for (const [replica, { body: finding, certificate }] of job.findings.entries()) {
    const body = resultEntryCodec.encode({ finding, ...certificate })
    propose(world, `result/${job.id}/${replica}`, 'result', body, (result) => {
      waiting -= 1
      if (result?.status !== 'applied') isDone = false
      if (waiting === 0) done(isDone ? [{ type: 'results-logged' }] : 'retry')
    })
  }
}

function logSettlement(world: World, job: Job & { phase: 'verified' | 'disputed' | 'failed' }, done: Done) {
  const { settlement } = job
  if (settlement === null) return done([])
  const chosen = job.phase === 'failed' ? null : job.chosen
  const outcome = chosen === null ? 'refunded' : 'paid'
  const body = settlementEntryCodec.encode({
    ...{ jobId: job.id, attempt: job.attempt, outcome, reason: refundReason(job, chosen) },
    ...{ chosen: chosen ?? CHOSEN_NONE, authority: 'certificate', ...settlement.certificate },
  })
  propose(world, `settlement/${job.id}`, 'settlement', body, (result) => {
    if (result?.status !== 'applied') return done('retry')
    return done([{ type: 'settlement-logged', outcome, ...settlement }])
  })
}

/** The refund that needs no votes; a settlement that was logged while its answer got lost comes first. */
function expire(world: World, job: Job & { phase: 'failed' }, done: Done) {
  const logged = world.log.state.jobs.get(job.id)
  if (logged === undefined) return done('retry')
  if (logged.settlement?.authority === 'certificate' && job.settlement !== null)
    return done([{ type: 'settlement-logged', outcome: logged.settlement.outcome, ...job.settlement }])
  const body = settlementCodec.encode(expiryOf(world.log.state, logged))
  const claim = { jobId: job.id, attempt: 0, outcome: 'refunded', reason: 'deadline', chosen: CHOSEN_NONE } as const
  const entry = { ...claim, authority: 'expiry', bitmap: 0, signatures: new Uint8Array() } as const
  propose(world, `expiry/${job.id}`, 'settlement', settlementEntryCodec.encode(entry), (result) => {
    const event: JobEvent = { type: 'settlement-logged', outcome: 'refunded', body, certificate: null }
    done(result?.status === 'applied' ? [event] : 'retry')
  })
}
