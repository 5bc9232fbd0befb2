/** The speed that a receipt states, and on whose word: its edge's, or that of validators who watched the stream. */
import { openAs } from '../identity/envelope.ts'
import type { Digest } from '../ids.ts'
import { checkTimeline, type Latency, latencyOf, type Timeline, timelineCodec } from '../latency/timeline.ts'
import type { LoggedJob, LogState } from '../log/state.ts'
import { witnessesFor } from '../log/witnesses.ts'
import { accept, reject, type Validation } from '../validation.ts'
import type { Delivery } from './receipt.ts'

/**
 * Checks that each timeline is of another drawn witness and of the very stream that was delivered and committed to.
 *
 * @param chainHeads  that the workers committed to, by replica
 */
export function checkSpeed(
  state: LogState,
  job: LoggedJob,
  delivery: Delivery,
  chainHeads: readonly (Digest | undefined)[],
): Validation<Latency> {
  const timelines: Timeline[] = []
  const signers = new Set<string>()
  const last = delivery.segments.at(-1)
  const replica = last === undefined ? -1 : job.workers.indexOf(last.worker)
  for (const envelope of delivery.witnesses) {
    const opened = openAs(timelineCodec, envelope, state.swarmId)
    if (opened.action !== 'accept') return opened
    const { signer } = opened.value
    if (last === undefined || replica < 0 || signers.has(signer)) return reject('signer_mismatch')
    if (chainHeads[replica] !== delivery.chainHead) return reject('chunk_mismatch', 'chainHead')
    signers.add(signer)
    const { holdHash, attempt, edge } = job
    const drawn = witnessesFor(state, { holdHash, attempt, replica, worker: last.worker, edge })
    const about = { jobId: job.id, attempt: delivery.attempt, replica, chainHead: delivery.chainHead }
    const checked = checkTimeline(opened.value, about, drawn)
    if (checked.action !== 'accept') return checked
    timelines.push(checked.value)
  }
  const { ttftMs, tokensPerSecondMilli, gapP50Ms, gapP99Ms, segments } = delivery
  const tokens = segments.reduce((sum, { tokenCount }) => sum + tokenCount, 0)
  return accept(latencyOf({ ttftMs, tokens, tokensPerSecondMilli, gapP50Ms, gapP99Ms }, timelines))
}
