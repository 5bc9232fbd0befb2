/** The validator's part of a dispute: repeat the draw and the count, and sign the ruling that follows. */
import { FabricError } from '../../core/errors.ts'
import type { JobId } from '../../core/ids.ts'
import { disputeOf, judgeRuling, rulingProposalCodec } from '../../core/job/judge-dispute.ts'
import { votesCodec } from '../../core/job/proposal.ts'
import { abstainersOf } from '../../core/log/authority.ts'
import { jobOfEdge } from './its-edge.ts'
import { rosterOfJob } from './job-roster.ts'
import { whenLogged } from './lag.ts'
import { checkSameJob, openFrom } from './sealed.ts'
import { taken } from './taken.ts'
import type { ValidatorPorts } from './validator.ts'
import type { VoteBook } from './vote-book.ts'

export function voteOnRulings(ports: ValidatorPorts, book: VoteBook): void {
  const { transport, key, state, clock, rosters, facts } = ports
  transport.onMessage('vote/correction', async (from, body, signal) => {
    const opened = openFrom(ports, from, 'vote/correction', body)
    const proposal = taken(rulingProposalCodec.decode(opened.body))
    checkSameJob(opened, proposal.jobId)
    const id = proposal.jobId as JobId
    await jobOfEdge(state, id, from, clock, signal)
    const find = () => {
      const job = state().jobs.get(id)
      return job === undefined ? undefined : disputeOf(job, proposal.dispute)
    }
    await whenLogged(() => find() !== undefined, clock, signal)
    const [job, dispute] = [state().jobs.get(id), find()]
    const worker = job?.workers[dispute?.replica ?? -1]
    // Who owns the worker has a part in it.
    if (worker !== undefined && abstainersOf(state(), worker).includes(key.peer))
      throw new FabricError('CF_MESH_REFUSED', { reason: 'not_for_us' })
    const roster = await rosterOfJob(rosters, state(), id, signal)
    const bench = { self: key.peer, state: state(), roster, nowMs: clock.nowMs(), facts }
    const { statement } = taken(judgeRuling(bench, proposal))
    return votesCodec.encode({ votes: [...(await book.cast([statement]))] })
  })
}
