/** Everything a coordinator asks of validators. */

import type { JobId, PeerId } from '../../core/ids.ts'
import type { Job } from '../../core/job/job.ts'
import { judgeFindings, judgeSettlement } from '../../core/job/judge.ts'
import { judgeCommitSet } from '../../core/job/judge-commits.ts'
import {
  assignmentProposalCodec,
  commitSetProposalCodec,
  findingProposalCodec,
  settlementProposalCodec,
} from '../../core/job/proposal.ts'
import { commitSetProposalOf, findingProposalOf, revealOf } from '../../core/job/proposing.ts'
import { CHOSEN_NONE, REASON_PAID } from '../../core/ledger/settlement.ts'
import { bodyDigest } from '../../core/log/assignment.ts'
import { abstainersOf, statementOf } from '../../core/log/authority.ts'
import { seedsIn } from '../../core/log/inputs.ts'
import type { Topic } from '../../core/quorum/vote.ts'
import type { Performed } from '../runtime/loop.ts'
import { closenessOf } from './closeness.ts'
import type { CoordinatorPorts } from './coordinator.ts'
import { rosterOfJob } from './job-roster.ts'
import { sealFor } from './sealed.ts'
import { taken } from './taken.ts'
import { collectVotes, type Tallied } from './tallies.ts'

type Topics = readonly { readonly topic: Topic; readonly excluded: readonly PeerId[] }[]

const NOTHING: Performed = { events: [], journaled: false }

export class Voting {
  readonly #options: { readonly requestMs: number }
  readonly #ports: CoordinatorPorts

  constructor(options: { readonly requestMs: number }, ports: CoordinatorPorts) {
    this.#options = options
    this.#ports = ports
  }

  async assignment(job: Job, signal: AbortSignal): Promise<Performed> {
    if (job.phase !== 'proposed') return NOTHING
    const state = this.#ports.state()
    const answers = job.answers.map(({ envelope }) => envelope).filter((envelope) => envelope.length > 0)
    const digest = bodyDigest('assignment', state.swarmId, job.assignment)
    const topic = statementOf(state, 'assignment', { subject: job.id, attempt: job.attempt, index: 0, digest })
    const body = assignmentProposalCodec.encode({ assignment: job.assignment, answers })
    const won = await this.#collect('vote/assignment', body, [{ topic, excluded: [] }], signal)
    if (won?.[0] === undefined || won[0].digest !== digest) return 'retry'
    return { events: [{ type: 'assignment-certified', certificate: won[0].certificate }], journaled: false }
  }

  /** Before anything is revealed: from the signatures under these commitments the audits are drawn. */
  async commitSet(job: Job, signal: AbortSignal): Promise<Performed> {
    const proposal = commitSetProposalOf(job)
    if (proposal === undefined) return NOTHING
    const topic = taken(judgeCommitSet(this.#ports.state(), proposal))
    const body = commitSetProposalCodec.encode(proposal)
    const won = await this.#collect('vote/commit-set', body, [{ topic, excluded: [] }], signal)
    if (won?.[0] === undefined || won[0].digest !== topic.digest) return 'retry'
    return { events: [{ type: 'commit-set-certified', certificate: won[0].certificate }], journaled: false }
  }

  /** The coordinator judges too, so that it knows the bodies behind the digests that the validators sign. */
  async findings(job: Job, signal: AbortSignal): Promise<Performed> {
    if (job.phase !== 'revealed' && job.phase !== 'audited') return NOTHING
    const state = this.#ports.state()
    const proposal = findingProposalOf(job, seedsIn(this.#ports.store.payload(job.id)))
    const bench = await this.#bench(job, signal)
    const judged = taken(judgeFindings(bench, proposal))
    const topics = judged.map(({ statement, worker }) => ({ topic: statement, excluded: abstainersOf(state, worker) }))
    const body = findingProposalCodec.encode(proposal)
    const won = await this.#collect('vote/findings', body, topics, signal, job.id)
    if (won === undefined || won.some(({ digest }, index) => digest !== judged[index]?.statement.digest)) return 'retry'
    const findings = judged.map(({ body }, index) => ({
      body,
      certificate: won[index]?.certificate ?? { bitmap: 0, signatures: new Uint8Array() },
    }))
    const closeness = await closenessOf(job, bench.roster, this.#ports.compare, signal)
    const found = closeness === undefined ? { findings } : { findings, closeness }
    return { events: [{ type: 'found', ...found }], journaled: false }
  }

  async settlement(job: Job, signal: AbortSignal): Promise<Performed> {
    if (job.phase !== 'verified' && job.phase !== 'disputed' && job.phase !== 'failed') return NOTHING
    const chosen = job.phase === 'failed' ? null : job.chosen
    const proposal = {
      jobId: job.id,
      attempt: job.attempt,
      outcome: chosen === null ? 'refunded' : 'paid',
      reason: refundReason(job, chosen),
      chosen: chosen ?? CHOSEN_NONE,
      reveals: job.intent.verify === 'before' ? job.replicas.map(revealOf) : [],
      cosines: 'closeness' in job ? (job.closeness?.cosines ?? []) : [],
    } as const
    const { statement, body } = taken(judgeSettlement(await this.#bench(job, signal), proposal))
    const won = await this.#collect(
      'vote/settlement',
      settlementProposalCodec.encode(proposal),
      [{ topic: statement, excluded: [] }],
      signal,
      job.id,
    )
    if (won?.[0] === undefined || won[0].digest !== statement.digest) return 'retry'
    return {
      events: [{ type: 'settlement-certified', settlement: { body, certificate: won[0].certificate } }],
      journaled: false,
    }
  }

  async #bench({ id }: Job, signal: AbortSignal) {
    const { state, rosters, clock, facts } = this.#ports
    const roster = await rosterOfJob(rosters, state(), id, signal)
    return { self: undefined, state: state(), roster, nowMs: clock.nowMs(), facts }
  }

  /** @param jobOfWords  the body holds words of this job, for each validator's own eyes; absent: it holds none */
  #collect(
    type: string,
    body: Uint8Array,
    topics: Topics,
    signal: AbortSignal,
    jobOfWords?: JobId,
  ): Promise<readonly Tallied[] | undefined> {
    const { transport, state, onEvidence, onVote, onSplit } = this.#ports
    const { swarmId, validators: set } = state()
    return collectVotes(transport, {
      swarmId,
      set,
      type,
      body,
      topics,
      deadlineMs: this.#options.requestMs,
      signal,
      ...{ onEvidence, onVote, onSplit },
      ...(jobOfWords === undefined
        ? {}
        : { sealFor: (validator, plain) => sealFor(this.#ports, validator, type, jobOfWords, plain).message }),
    })
  }
}

export function refundReason(job: Job, chosen: number | null): string {
  if (chosen !== null) return REASON_PAID
  return job.phase === 'failed' ? job.reason : 'output_rejected'
}
