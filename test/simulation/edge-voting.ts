/** What an edge asks of validators. A splitter asks half of them something else each time: two quorums must not come of it. */

import type { Digest, PeerId } from '../../core/ids.ts'
import type { Effect, Job } from '../../core/job/job.ts'
import { judgeFindings, judgeSettlement } from '../../core/job/judge.ts'
import { judgeCommitSet } from '../../core/job/judge-commits.ts'
import { assignmentOf } from '../../core/job/machine.ts'
import {
  assignmentProposalCodec,
  commitSetProposalCodec,
  findingProposalCodec,
  settlementProposalCodec,
  votesCodec,
} from '../../core/job/proposal.ts'
import { commitSetProposalOf, findingProposalOf, revealOf } from '../../core/job/proposing.ts'
import { CHOSEN_NONE, REASON_PAID } from '../../core/ledger/settlement.ts'
import { assignmentCodec, bodyDigest } from '../../core/log/assignment.ts'
import { abstainersOf, statementOf } from '../../core/log/authority.ts'
import { evidenceEntryCodec } from '../../core/log/bodies-certified.ts'
import { seedsIn } from '../../core/log/inputs.ts'
import { type CompactCertificate, compactOf } from '../../core/quorum/certificate.ts'
import { type Evidence, encodeEvidence } from '../../core/quorum/evidence.ts'
import { addVote, createTally, result, type Tally } from '../../core/quorum/tally.ts'
import { checkVote, decodeVote, subjectKey, type Topic } from '../../core/quorum/vote.ts'
import type { Done, Edge } from './edge.ts'
import { factsOf, nameOf } from './world.ts'

type VoteEffect = Extract<
  Effect,
  { readonly type: 'vote-assignment' | 'vote-commit-set' | 'vote-findings' | 'vote-settlement' }
>
type Topics = readonly { readonly topic: Topic; readonly excluded: readonly PeerId[] }[]
type Won = readonly { readonly digest: Digest; readonly certificate: CompactCertificate }[]

const REQUEST_MS = 800
const NOTHING = new Uint8Array()

export function performVoting(edge: Edge, job: Job, effect: VoteEffect, done: Done) {
  switch (effect.type) {
    case 'vote-assignment':
      return voteAssignment(edge, job, done)
    case 'vote-commit-set':
      return voteCommitSet(edge, job, done)
    case 'vote-findings':
      return voteFindings(edge, job, done)
    case 'vote-settlement':
      return voteSettlement(edge, job, done)
  }
}

function voteAssignment(edge: Edge, job: Job, done: Done) {
  if (job.phase !== 'proposed') return done([])
  const state = edge.node.view()
  const answers = job.answers.map(({ envelope }) => envelope).filter((envelope) => envelope.length > 0)
  const digest = bodyDigest('assignment', state.swarmId, job.assignment)
  const topic = statementOf(state, 'assignment', { subject: job.id, attempt: job.attempt, index: 0, digest })
  const assignment = assignmentOf(job.assignment)
  const other = assignmentCodec.encode({ ...assignment, revealByMs: assignment.revealByMs - 1n })
  const bodies = [job.assignment, other].map((bytes) => assignmentProposalCodec.encode({ assignment: bytes, answers }))
  collectVotes(edge, { type: 'vote/assignment', bodies, topics: [{ topic, excluded: [] }] }, (won) => {
    const [first] = won ?? []
    if (first === undefined || first.digest !== digest) return done('retry')
    done([{ type: 'assignment-certified', certificate: first.certificate }])
  })
}

/** A splitter leaves a replica out. */
function voteCommitSet(edge: Edge, job: Job, done: Done) {
  const proposal = commitSetProposalOf(job)
  if (proposal === undefined) return done([])
  const judged = judgeCommitSet(edge.node.view(), proposal)
  if (judged.action !== 'accept') return done('retry')
  const bodies = [proposal, { ...proposal, commitments: [NOTHING, ...proposal.commitments.slice(1)] }].map((each) =>
    commitSetProposalCodec.encode(each),
  )
  collectVotes(edge, { type: 'vote/commit-set', bodies, topics: [{ topic: judged.value, excluded: [] }] }, (won) => {
    const [first] = won ?? []
    if (first === undefined || first.digest !== judged.value.digest) return done('retry')
    done([{ type: 'commit-set-certified', certificate: first.certificate }])
  })
}

function voteFindings(edge: Edge, job: Job, done: Done) {
  if (job.phase !== 'revealed' && job.phase !== 'audited') return done([])
  const proposal = findingProposalOf(job, seedsIn(edge.inputs(job.id)))
  const judged = judgeFindings(benchOf(edge), proposal)
  if (judged.action !== 'accept') return done('retry')
  const topics = judged.value.map(({ statement, worker }) => ({
    topic: statement,
    excluded: abstainersOf(edge.node.view(), worker),
  }))
  const bodies = [proposal, { ...proposal, reveals: [NOTHING, ...proposal.reveals.slice(1)] }].map((each) =>
    findingProposalCodec.encode(each),
  )
  collectVotes(edge, { type: 'vote/findings', bodies, topics }, (won) => {
    if (won === undefined || won.some(({ digest }, place) => digest !== judged.value[place]?.statement.digest))
      return done('retry')
    const findings = judged.value.flatMap(({ body }, place) => {
      const certificate = won[place]?.certificate
      return certificate === undefined ? [] : [{ body, certificate }]
    })
    done([{ type: 'found', findings }])
  })
}

function voteSettlement(edge: Edge, job: Job, done: Done) {
  if (job.phase !== 'verified' && job.phase !== 'disputed' && job.phase !== 'failed') return done([])
  const { prng, coverage } = edge.node.world
  if (job.phase === 'verified' && prng.chance(100)) {
    coverage.count('dispute')
    return done([{ type: 'disputed', findings: job.findings }])
  }
  const chosen = job.phase === 'failed' ? null : job.chosen
  const proposal = {
    jobId: job.id,
    attempt: job.attempt,
    outcome: chosen === null ? 'refunded' : 'paid',
    reason: refundReason(job, chosen),
    chosen: chosen ?? CHOSEN_NONE,
    reveals: job.intent.verify === 'before' ? job.replicas.map(revealOf) : [],
    cosines: [],
  } as const
  const judged = judgeSettlement(benchOf(edge), proposal)
  if (judged.action !== 'accept') return done('retry')
  const { statement, body } = judged.value
  const other = {
    ...proposal,
    outcome: 'refunded',
    reason: chosen === null ? 'x'.repeat(prng.between(1, 128)) : 'output_rejected',
    chosen: CHOSEN_NONE,
  } as const
  const bodies = [proposal, other].map((each) => settlementProposalCodec.encode(each))
  collectVotes(edge, { type: 'vote/settlement', bodies, topics: [{ topic: statement, excluded: [] }] }, (won) => {
    const [first] = won ?? []
    if (first === undefined || first.digest !== statement.digest) return done('retry')
    done([{ type: 'settlement-certified', settlement: { body, certificate: first.certificate } }])
  })
}

/** The coordinator judges too, so that it knows the bodies behind the digests that the validators sign. */
function benchOf(edge: Edge) {
  const { node } = edge
  return { self: undefined, state: node.view(), roster: node.world.roster, nowMs: node.clock.nowMs(), facts: factsOf }
}

type Ballot = { readonly type: string; readonly bodies: readonly Uint8Array[]; readonly topics: Topics }

function collectVotes(edge: Edge, { type, bodies, topics }: Ballot, done: (won: Won | undefined) => void): void {
  const { node } = edge
  const { validators: set } = node.view()
  const tallies = new Map(topics.map(({ topic, excluded }) => [subjectKey(topic), createTally(set, topic, excluded)]))
  const isSplit = edge.kind === 'splitter' && node.world.prng.chance(700)
  const turn = node.world.prng.below(2)
  let [waiting, isDone] = [set.keys.length, false]
  for (const [place, peer] of set.keys.entries()) {
    const body = bodies[isSplit ? (place + turn) % bodies.length : 0] ?? NOTHING
    node.request(nameOf(peer), type, { parts: [body] }, REQUEST_MS, (reply) => {
      waiting -= 1
      if (reply !== undefined) countVotes(edge, tallies, reply.parts[0] ?? NOTHING)
      const won = wonOf(edge, tallies)
      if (isDone || (won === undefined && waiting > 0)) return
      isDone = true
      done(won)
    })
  }
}

function wonOf(edge: Edge, tallies: ReadonlyMap<string, Tally>): Won | undefined {
  const won: Won[number][] = []
  for (const tally of tallies.values()) {
    const certificate = result(tally)?.certificate
    if (certificate === undefined) return undefined
    edge.node.world.checkers.certificateFormed(certificate.statement)
    won.push({ digest: certificate.statement.digest, certificate: compactOf(certificate) })
  }
  return won
}

function countVotes(edge: Edge, tallies: Map<string, Tally>, answer: Uint8Array) {
  const { coverage, genesis } = edge.node.world
  const decoded = votesCodec.decode(answer)
  if (decoded.action !== 'accept') return coverage.count('votes unreadable')
  for (const bytes of decoded.value.votes) {
    const vote = decodeVote(bytes)
    const tally = vote.action === 'accept' ? tallies.get(subjectKey(vote.value.statement)) : undefined
    if (vote.action !== 'accept' || tally === undefined) continue
    const checked = checkVote(genesis.swarmId, tally.set, vote.value)
    if (checked.action !== 'accept') {
      coverage.count('forged vote refused')
      continue
    }
    const tallied = addVote(tally, checked.value)
    tallies.set(subjectKey(vote.value.statement), tallied.tally)
    if (tallied.evidence !== undefined) report(edge, tallied.evidence)
  }
}

function report(edge: Edge, evidence: Evidence): void {
  const { node } = edge
  node.world.coverage.count('equivocation seen in a tally')
  node.world.trace.say(`${node.name} has evidence against ${nameOf(evidence.first.voter)}`)
  const bytes = encodeEvidence(evidence)
  node.propose(
    'evidence',
    `${node.name}/evidence/${subjectKey(evidence.first.statement)}`,
    evidenceEntryCodec.encode({ evidence: bytes }),
    () => {},
  )
}

export function refundReason(job: Job, chosen: number | null): string {
  if (chosen !== null) return REASON_PAID
  return job.phase === 'failed' ? job.reason : 'output_rejected'
}
