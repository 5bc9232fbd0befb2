/** What the edge asks of validators: it shows all of them a proposal and counts their votes until a quorum agrees. */
import type { PeerId } from '../../core/ids.ts'
import type { Effect, Job, JobEvent } from '../../core/job/job.ts'
import { judgeSettlement } from '../../core/job/judge.ts'
import { judgeCommitSet } from '../../core/job/judge-commits.ts'
import { commitSetProposalOf, findingProposalOf, revealOf } from '../../core/job/proposing.ts'
import { CHOSEN_NONE } from '../../core/ledger/settlement.ts'
import { bodyDigest } from '../../core/log/assignment.ts'
import { abstainersOf, statementOf } from '../../core/log/authority.ts'
import { type Certificate, type CompactCertificate, compactOf } from '../../core/quorum/certificate.ts'
import { addVote, createTally, result, type Tally } from '../../core/quorum/tally.ts'
import { checkVote, type Statement, subjectKey, type Vote } from '../../core/quorum/vote.ts'
import { refundReason } from '../jobs/voting.ts'
import type { Done, Peers } from './edge.ts'
import { REQUEST_MS } from './edge-work.ts'
import type { Proposal } from './validator-peer.ts'
import { seedsOf } from './wish.ts'
import { benchOf, type World } from './world.ts'

type Wanted = { readonly statement: Statement; readonly excluded: readonly PeerId[] }
type VoteEffect = Extract<
  Effect,
  { readonly type: 'vote-assignment' | 'vote-commit-set' | 'vote-findings' | 'vote-settlement' }
>

export function performVoting(world: World, peers: Peers, job: Job, effect: VoteEffect, done: Done) {
  switch (effect.type) {
    case 'vote-assignment':
      return voteAssignment(world, peers, job, done)
    case 'vote-commit-set':
      return voteCommitSet(world, peers, job, done)
    case 'vote-findings':
      return voteFindings(world, peers, job, done)
    case 'vote-settlement':
      return voteSettlement(world, peers, job, done)
  }
}

function voteAssignment(world: World, peers: Peers, job: Job, done: Done) {
  if (job.phase !== 'proposed') return done([])
  const { state } = world.log
  const answers = job.answers.map(({ envelope }) => envelope).filter((envelope) => envelope.length > 0)
  const digest = bodyDigest('assignment', state.swarmId, job.assignment)
  const statement = statementOf(state, 'assignment', { subject: job.id, attempt: job.attempt, index: 0, digest })
  const proposal: Proposal = { type: 'assignment', body: { assignment: job.assignment, answers } }
  collect(world, peers, proposal, [{ statement, excluded: [] }], ([certificate]) =>
    done(certificate === undefined ? 'retry' : [{ type: 'assignment-certified', certificate }]),
  )
}

function voteCommitSet(world: World, peers: Peers, job: Job, done: Done) {
  const body = commitSetProposalOf(job)
  if (body === undefined) return done([])
  const judged = judgeCommitSet(world.log.state, body)
  if (judged.action !== 'accept') return done('retry')
  const wanted = [{ statement: judged.value, excluded: [] }]
  collect(world, peers, { type: 'commit-set', body }, wanted, ([certificate]) =>
    done(certificate === undefined ? 'retry' : [{ type: 'commit-set-certified', certificate }]),
  )
}

/** The edge judges too, so that it knows the bodies behind the digests that the validators sign. */
function voteFindings(world: World, peers: Peers, job: Job, done: Done) {
  if (job.phase !== 'revealed' && job.phase !== 'audited') return done([])
  const body = findingProposalOf(job, seedsOf(job.intent.replicas))
  const judged = world.rules.judgeFindings(benchOf(world, undefined), body)
  if (judged.action !== 'accept') return done('retry')
  const wanted = judged.value.map(({ statement, worker }) => {
    return { statement, excluded: abstainersOf(world.log.state, worker) }
  })
  collect(world, peers, { type: 'findings', body }, wanted, (certificates) => {
    if (certificates.length < wanted.length) return done('retry')
    const findings = judged.value.flatMap(({ body: finding }, place) => {
      const certificate = certificates[place]
      return certificate === undefined ? [] : [{ body: finding, certificate }]
    })
    return done([{ type: 'found', findings }])
  })
}

function voteSettlement(world: World, peers: Peers, job: Job, done: Done) {
  if (job.phase !== 'verified' && job.phase !== 'disputed' && job.phase !== 'failed') return done([])
  const chosen = job.phase === 'failed' ? null : job.chosen
  const body = {
    jobId: job.id,
    attempt: job.attempt,
    outcome: chosen === null ? 'refunded' : 'paid',
    reason: refundReason(job, chosen),
    chosen: chosen ?? CHOSEN_NONE,
    reveals: job.intent.verify === 'before' ? job.replicas.map(revealOf) : [],
    cosines: [],
  } as const
  const judged = judgeSettlement(benchOf(world, undefined), body)
  if (judged.action !== 'accept') return done('retry')
  const { statement, body: settlement } = judged.value
  collect(world, peers, { type: 'settlement', body }, [{ statement, excluded: [] }], ([certificate]) => {
    const event = (signed: CompactCertificate): JobEvent => {
      return { type: 'settlement-certified', settlement: { body: settlement, certificate: signed } }
    }
    done(certificate === undefined ? 'retry' : [event(certificate)])
  })
}

/** @param done  with one certificate a statement, in order, or with none when too few voted alike */
function collect(
  world: World,
  { validators }: Peers,
  proposal: Proposal,
  wanted: readonly Wanted[],
  done: (certificates: readonly CompactCertificate[]) => void,
): void {
  const set = world.log.state.validators
  const tallies = new Map(
    wanted.map(({ statement, excluded }) => [subjectKey(statement), createTally(set, statement, excluded)]),
  )
  let [waiting, isOver] = [validators.length, false]
  const heard = (votes: readonly Vote[]): void => {
    if (isOver) return
    waiting -= 1
    for (const vote of votes) count(world, tallies, vote)
    const won = certificatesOf(tallies, wanted)
    if (won === undefined && waiting > 0) return
    isOver = true
    for (const certificate of won ?? []) world.recorder.certified(certificate, world.votes)
    done((won ?? []).map(compactOf))
  }
  for (const validator of validators) {
    world.network.request<readonly Vote[]>(
      (reply) => {
        const votes = validator.vote(proposal)
        if (votes !== undefined) reply(votes)
      },
      REQUEST_MS,
      (votes) => heard(votes ?? []),
    )
  }
}

function count({ log, recorder }: World, tallies: Map<string, Tally>, vote: Vote): void {
  const key = subjectKey(vote.statement)
  const tally = tallies.get(key)
  if (tally === undefined) return
  const checked = checkVote(log.state.swarmId, log.state.validators, vote)
  if (checked.action !== 'accept') return
  const tallied = addVote(tally, checked.value)
  tallies.set(key, tallied.tally)
  if (tallied.evidence !== undefined) recorder.evidence += 1
}

/** A certificate of another digest than the edge's own helps nobody: nothing it could log would match it. */
function certificatesOf(
  tallies: ReadonlyMap<string, Tally>,
  wanted: readonly Wanted[],
): readonly Certificate[] | undefined {
  const certificates: Certificate[] = []
  for (const { statement } of wanted) {
    const tally = tallies.get(subjectKey(statement))
    const won = tally === undefined ? undefined : result(tally)
    if (won === undefined || won.certificate.statement.digest !== statement.digest) return undefined
    certificates.push(won.certificate)
  }
  return certificates
}
