/** What an edge writes into the log, and the receipt that it hands out when a job is settled. */
import { sealAs } from '../../core/identity/envelope.ts'
import { findingsBodies } from '../../core/job/choice.ts'
import type { Effect, Job, SettledJob } from '../../core/job/job.ts'
import { assignmentOf } from '../../core/job/machine.ts'
import { outputOf, receiptOf } from '../../core/job/receipting.ts'
import { CHOSEN_NONE, findingsHash, settlementCodec, ZERO_DIGEST } from '../../core/ledger/settlement.ts'
import { bodyDigest } from '../../core/log/assignment.ts'
import { assignmentEntryCodec, resultEntryCodec, settlementEntryCodec } from '../../core/log/bodies-certified.ts'
import { receiptFileCodec } from '../../core/receipt/receipt.ts'
import { isVerifiable } from '../../core/verification/replayable.ts'
import type { Done, Edge } from './edge.ts'
import { refundReason } from './edge-voting.ts'

type LogEffect = Extract<Effect, { readonly type: 'log-assignment' | 'log-results' | 'log-settlement' | 'expire' }>

export function performLogging(edge: Edge, job: Job, effect: LogEffect, done: Done) {
  // The bug that a checker must find: nobody does what a failed job still owes.
  if (edge.node.world.bug === 'lost-refund' && job.phase === 'failed') return
  switch (effect.type) {
    case 'log-assignment':
      return logAssignment(edge, job, done)
    case 'log-results':
      return logResults(edge, job, done)
    case 'log-settlement':
    case 'expire':
      return logSettlement(edge, job, done)
  }
}

function logAssignment(edge: Edge, job: Job, done: Done) {
  if (job.phase !== 'assigned') return done([])
  const { node } = edge
  const { jobId, attempt, workers, answersDigest, commitByMs, revealByMs, overlapping } = assignmentOf(job.assignment)
  const body = assignmentEntryCodec.encode({
    jobId,
    attempt,
    workers,
    answersDigest,
    commitByMs,
    revealByMs,
    overlapping,
    ...job.certificate,
  })
  node.propose('assignment', `${node.name}/assignment/${job.id}/${attempt}`, body, (result) => {
    if (result?.status === 'applied' && node.world.point(node, 'assignment-logged')) return
    // A repeat after a crash finds its own entry in the log.
    const logged = node.view().jobs.get(job.id)
    const isThere = logged?.phase === 'assigned' && logged.attempt === attempt
    const isLogged = result?.status === 'applied' || isThere
    done(isLogged ? [{ type: 'assignment-logged' }] : 'retry')
  })
}

function logResults(edge: Edge, job: Job, done: Done) {
  if (job.phase !== 'verified' && job.phase !== 'disputed') return done([])
  const { node } = edge
  const known = new Set(
    node
      .view()
      .jobs.get(job.id)
      ?.findings.map(({ replica }) => replica),
  )
  const due = job.findings
    .map((finding, replica) => ({ finding, replica }))
    .filter(({ replica }) => !known.has(replica))
  let [waiting, isComplete] = [due.length, true]
  if (waiting === 0) return done([{ type: 'results-logged' }])
  for (const { finding, replica } of due) {
    const body = resultEntryCodec.encode({ finding: finding.body, ...finding.certificate })
    node.propose('result', `${node.name}/result/${job.id}/${replica}`, body, (result) => {
      waiting -= 1
      const isIn =
        result?.status === 'applied' || (result?.status === 'refused' && result.reason === 'finding_repeated')
      isComplete &&= isIn
      if (waiting === 0) done(isComplete ? [{ type: 'results-logged' }] : 'retry')
    })
  }
}

function logSettlement(edge: Edge, job: Job, done: Done) {
  if (job.phase !== 'verified' && job.phase !== 'disputed' && job.phase !== 'failed') return done([])
  const { node } = edge
  const isExpiry = job.phase === 'failed' && job.expired
  const chosen = job.phase === 'failed' ? null : job.chosen
  if (!isExpiry && job.settlement === null) return done('retry')
  const body = settlementEntryCodec.encode({
    jobId: job.id,
    attempt: isExpiry ? 0 : job.attempt,
    outcome: chosen === null ? 'refunded' : 'paid',
    reason: isExpiry ? 'deadline' : refundReason(job, chosen),
    chosen: chosen ?? CHOSEN_NONE,
    authority: isExpiry ? 'expiry' : 'certificate',
    ...(isExpiry
      ? { bitmap: 0, signatures: new Uint8Array() }
      : (job.settlement?.certificate ?? { bitmap: 0, signatures: new Uint8Array() })),
  })
  node.propose('settlement', `${node.name}/${isExpiry ? 'expiry' : 'settlement'}/${job.id}`, body, (result) => {
    if (result?.status === 'applied' && node.world.point(node, 'settlement-logged')) return
    const event = node.world.log.settledEvent(job.id, node.logIndex)
    done(event === undefined ? 'retry' : [event])
  })
}

/** The receipt of a settled job, by an edge that holds everything the settlement rests on. */
export function handOut(edge: Edge, job: SettledJob) {
  const { node } = edge
  const { genesis, coverage, checkers, trace } = node.world
  coverage.count(`settled: ${job.outcome}, ${job.reason}`)
  coverage.count(`settled: ${job.intent.task}, ${job.outcome}`)
  if (!isVerifiable(job.intent.sampling)) coverage.count(`settled: unverifiable, ${job.outcome}`)
  trace.say(`${node.name} ${checkers.jobName(job.id)} ${job.outcome} (${job.reason})`)
  if (!isBacked(edge, job)) return coverage.count('settled without this edge')
  const file = { receipt: receiptOf(job, genesis.bytes), output: outputOf(job) }
  checkers.receipt(sealAs(receiptFileCodec, file, genesis.swarmId, node.key), job, node.view())
}

/** Another edge may have done the work, or drive the job: then this one has no receipt to give. */
function isBacked(edge: Edge, job: SettledJob): boolean {
  if (job.hold.edge !== edge.node.key.peer) return false
  const { body, certificate } = job.settlement
  if (certificate === null) return true
  const decoded = settlementCodec.decode(body)
  if (decoded.action !== 'accept') return false
  const { swarmId } = edge.node.world.genesis
  const assignmentHash = job.certificate === null ? ZERO_DIGEST : bodyDigest('assignment', swarmId, job.assignment)
  const isWhole = decoded.value.outcome === 'refunded' || job.replicas.length > 0
  return (
    isWhole &&
    decoded.value.assignmentHash === assignmentHash &&
    decoded.value.findingsHash === findingsHash(swarmId, findingsBodies(job.findings))
  )
}
