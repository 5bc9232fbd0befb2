/** The validator's role: check what a job's edge proposes, put the vote on disk, then send it. */
import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest, JobId, PeerId } from '../../core/ids.ts'
import { type Bench, judgeAssignment, judgeFindings, judgeSettlement, type ModelFacts } from '../../core/job/judge.ts'
import { judgeCommitSet } from '../../core/job/judge-commits.ts'
import {
  assignmentProposalCodec,
  commitSetProposalCodec,
  findingProposalCodec,
  settlementProposalCodec,
  votesCodec,
} from '../../core/job/proposal.ts'
import { CHOSEN_NONE } from '../../core/ledger/settlement.ts'
import type { Applied } from '../../core/log/apply.ts'
import { assignmentCodec } from '../../core/log/assignment.ts'
import type { LoggedJob, LogState } from '../../core/log/state.ts'
import type { Statement } from '../../core/quorum/vote.ts'
import type { Rosters } from '../runtime/mesh.ts'
import type { Clock, PeerTransport, Store } from '../runtime/ports.ts'
import { type Compare, checkCosines } from './closeness.ts'
import { voteOnRulings } from './correction-voter.ts'
import { jobOfEdge } from './its-edge.ts'
import { rosterOfJob } from './job-roster.ts'
import { whenLogged } from './lag.ts'
import { checkSameJob, openFrom } from './sealed.ts'
import { taken } from './taken.ts'
import { VoteBook } from './vote-book.ts'
import { Witness } from './witness.ts'

export type ValidatorPorts = {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly store: Store
  readonly clock: Clock
  readonly state: () => LogState
  readonly rosters: Rosters
  readonly facts: (modelDigest: Digest) => ModelFacts | undefined
  /** Absent: what an edge says of how near answers are is believed. */
  readonly compare?: Compare
}

/** How far the log must be before a proposal can be judged. */
type Wanted = (job: LoggedJob) => boolean

export class ValidatorRole {
  readonly #ports: ValidatorPorts
  readonly #book: VoteBook
  readonly #witness: Witness

  constructor(ports: ValidatorPorts) {
    this.#ports = ports
    const { transport, key, store, state } = ports
    this.#book = new VoteBook({ key, store, swarmId: state().swarmId })
    voteOnRulings(ports, this.#book)
    this.#witness = new Witness(ports)
    transport.onMessage('vote/assignment', async (from, body, signal) => {
      const proposal = taken(assignmentProposalCodec.decode(body))
      const { jobId } = taken(assignmentCodec.decode(proposal.assignment))
      const bench = await this.#bench(from, jobId as JobId, () => true, signal)
      const statement = taken(judgeAssignment(bench, proposal))
      return this.#answer([statement])
    })
    transport.onMessage('vote/commit-set', async (from, body, signal) => {
      const proposal = taken(commitSetProposalCodec.decode(body))
      const { jobId, attempt } = taken(assignmentCodec.decode(proposal.assignment))
      const assigned: Wanted = (job) => job.phase !== 'held' && job.attempt >= attempt
      const bench = await this.#bench(from, jobId as JobId, assigned, signal)
      return this.#answer([taken(judgeCommitSet(bench.state, proposal))])
    })
    transport.onMessage('vote/findings', async (from, body, signal) => {
      const opened = openFrom(ports, from, 'vote/findings', body)
      const proposal = taken(findingProposalCodec.decode(opened.body))
      const { jobId, attempt } = taken(assignmentCodec.decode(proposal.assignment))
      checkSameJob(opened, jobId)
      const assigned: Wanted = (job) => job.phase !== 'held' && job.attempt >= attempt
      const bench = await this.#bench(from, jobId as JobId, assigned, signal)
      return this.#answer(taken(judgeFindings(bench, proposal)).map(({ statement }) => statement))
    })
    transport.onMessage('vote/settlement', async (from, body, signal) => {
      const opened = openFrom(ports, from, 'vote/settlement', body)
      const proposal = taken(settlementProposalCodec.decode(opened.body))
      const { jobId, chosen } = proposal
      checkSameJob(opened, jobId)
      const found: Wanted = (job) => chosen === CHOSEN_NONE || job.findings.length === job.workers.length
      const bench = await this.#bench(from, jobId as JobId, found, signal)
      await checkCosines(proposal, ports.compare, signal)
      return this.#answer([taken(judgeSettlement(bench, proposal)).statement])
    })
  }

  /** Hears of each entry of the log. */
  logged({ kind, jobId }: Applied): void {
    if (kind === 'hold' && jobId !== null) this.#witness.held(jobId)
  }

  /**
   * The log as far as the proposal needs it, and the roster that the job was drawn from.
   *
   * @throws FabricError CF_MESH_REFUSED for anybody but the job's edge; CF_ROSTER_UNKNOWN: it abstains
   */
  async #bench(from: PeerId, id: JobId, wanted: Wanted, signal: AbortSignal): Promise<Bench> {
    const { key, state, rosters, clock, facts } = this.#ports
    await jobOfEdge(state, id, from, clock, signal)
    const logged = (): boolean => {
      const job = state().jobs.get(id)
      return job !== undefined && wanted(job)
    }
    await whenLogged(logged, clock, signal)
    const roster = await rosterOfJob(rosters, state(), id, signal)
    return { self: key.peer, state: state(), roster, nowMs: clock.nowMs(), facts }
  }

  async #answer(statements: readonly Statement[]): Promise<Uint8Array> {
    return votesCodec.encode({ votes: [...(await this.#book.cast(statements))] })
  }
}
