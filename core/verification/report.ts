/** Whether a report of an audit can be one at all: what an auditor says is bounded by what it was shown. */
import type { Digest } from '../ids.ts'
import { type AuditReport, probePositions, stepsOf, WORST_MAX } from './audit.ts'
import { OUTSIDE_MARGIN_NATS } from './margin.ts'

const MICRO = 1_000_000
const LARGEST_MICRO = OUTSIDE_MARGIN_NATS * MICRO

/**
 * Checks a report against the output that it is about and against itself.
 *
 * Why so strict: whoever did not compute the margins would have to invent some that fit each other; what does not fit counts as if
 * nothing had been said. An abstention says nothing, and has nothing to check.
 *
 * @param tokenCount  of the commitment
 * @param beacon      of the audit: it asks for the probes
 */
export function isReportOf(report: AuditReport, tokenCount: number, beacon: Digest): boolean {
  if (report.verdict === 'abstain') return true
  if (report.positions !== tokenCount || tokenCount === 0) return false
  const asked = probePositions(beacon, report.replica, tokenCount)
  const isAnswer =
    report.probes.length === asked.length && report.probes.every(({ position }, place) => position === asked[place])
  return isAnswer && areStatistics(report) && isWorstOf(report)
}

function areStatistics({ positions, meanMicro, overCount, worstMicro, outsideCount, stopMicro }: AuditReport): boolean {
  return (
    worstMicro <= LARGEST_MICRO &&
    stopMicro <= worstMicro &&
    // A mean of equal margins may be rounded to the other side.
    meanMicro <= worstMicro + 1 &&
    // One position has the largest margin, and each of the mean's is clipped at 3 nats.
    meanMicro >= Math.floor(Math.min(worstMicro, 3 * MICRO) / positions) &&
    outsideCount <= overCount &&
    overCount <= positions &&
    // The other way round says nothing: 8 nats may also be rounded.
    (outsideCount === 0 || worstMicro === LARGEST_MICRO)
  )
}

/** Ascending, each once, within the output; the largest of them is the statistics' largest. */
function isWorstOf({ worst, worstMicro, positions, overCount }: AuditReport): boolean {
  const ascending = worst.every(
    ({ position }, place) => position < positions && position > (worst[place - 1]?.position ?? -1),
  )
  const largest = worst.reduce((most, { margin256 }) => Math.max(most, margin256), 0)
  // The two were rounded apart.
  const isLargest = Math.abs(largest - stepsOf(worstMicro / MICRO)) <= 1
  return ascending && isLargest && worst.length >= Math.min(overCount, WORST_MAX)
}
