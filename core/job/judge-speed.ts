/** How fast each replica was, on the word of three witnesses: all that a speed bonus may rest on. */
import { openAs } from '../identity/envelope.ts'
import type { PeerId } from '../ids.ts'
import { medianOf } from '../latency/summary.ts'
import { checkTimeline, type Timeline, timelineCodec, WITNESSES_MAX } from '../latency/timeline.ts'
import { intentOf } from '../log/settling.ts'
import type { LoggedJob, LogState } from '../log/state.ts'
import { witnessesFor } from '../log/witnesses.ts'
import type { ReplicaClaim, Structure } from '../verification/structure.ts'
import type { FindingProposal } from './proposal.ts'

export type Streamed = {
  readonly replicas: readonly ReplicaClaim[]
  readonly structures: readonly Structure[]
}

/**
 * Gives the median of what witnesses saw of each stream, in thousandths of a token a second.
 *
 * Why 0 where the chain was not shown: witnesses see headers, and only the whole chain says that those were of the tokens in the output.
 * Timelines that do not fit count as not there, and of fewer than three nobody could say which one lies.
 *
 * @returns  in replica order; absent where the intent pays nothing for speed
 */
export function speedsOf(
  state: LogState,
  job: LoggedJob,
  { replicas, structures }: Streamed,
  { timelines }: Pick<FindingProposal, 'timelines'>,
): readonly number[] | undefined {
  if (intentOf(job).speedTarget === 0) return undefined
  return replicas.map((claim, replica) => {
    const structure = structures[replica]
    if (structure?.ok !== true || !structure.isChained) return 0
    const seen = seenBy(state, job, replica, claim, timelines[replica]?.envelopes ?? [])
    return seen.length < WITNESSES_MAX ? 0 : (medianOf(seen)?.tokensPerSecondMilli ?? 0)
  })
}

function seenBy(
  state: LogState,
  job: LoggedJob,
  replica: number,
  { worker, commitment }: ReplicaClaim,
  envelopes: readonly Uint8Array[],
): readonly Timeline[] {
  if (commitment === undefined) return []
  const { holdHash, attempt, edge } = job
  const { chainHead, chunkCount, tokenCount } = commitment.value
  const drawn = witnessesFor(state, { holdHash, attempt, replica, worker, edge })
  const byWitness = new Map<PeerId, Timeline>()
  for (const envelope of envelopes) {
    const opened = openAs(timelineCodec, envelope, state.swarmId)
    if (opened.action !== 'accept') continue
    const checked = checkTimeline(opened.value, { jobId: job.id, attempt, replica, chainHead }, drawn)
    if (checked.action !== 'accept') continue
    const { value } = checked
    if (value.chunkCount === chunkCount && value.tokens === tokenCount) byWitness.set(opened.value.signer, value)
  }
  return [...byWitness.values()]
}
