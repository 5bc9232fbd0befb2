/** Validators that lie: what they sign, they sign with their own key, as anyone who bought a validator could. */
import { digestOf, type JobId } from '../../core/ids.ts'
import { judgeFindings } from '../../core/job/judge.ts'
import { commitSetStatement } from '../../core/job/judge-commits.ts'
import {
  assignmentProposalCodec,
  commitSetProposalCodec,
  findingProposalCodec,
  settlementProposalCodec,
} from '../../core/job/proposal.ts'
import { CHOSEN_NONE, settlementCodec } from '../../core/ledger/settlement.ts'
import { assignmentCodec, bodyDigest } from '../../core/log/assignment.ts'
import { statementOf } from '../../core/log/authority.ts'
import { settlementOf } from '../../core/log/settling.ts'
import { castVote, type Statement, type Vote } from '../../core/quorum/vote.ts'
import type { Validator } from './validator.ts'
import { factsOf, keyNamed, VALIDATORS } from './world.ts'

const REASON_BYTES_MAX = 64

/** @returns undefined for no answer at all */
export function twistedVotes({ node, kind }: Validator, type: string, body: Uint8Array): readonly Vote[] | undefined {
  const { genesis, prng, coverage } = node.world
  if (kind === 'mute') return undefined
  const statements = statementsOf(node, type, body)
  const votes = statements.map((statement) => castVote(genesis.swarmId, statement, node.key))
  if (kind === 'yes') return votes
  if (kind === 'double') {
    const others = statements.map((statement) => ({ ...statement, digest: digestOf(prng.bytes(32)) }))
    return [...votes, ...others.map((statement) => castVote(genesis.swarmId, statement, node.key))].slice(0, 5)
  }
  const victim = keyNamed(prng.pick(VALIDATORS.filter((name) => name !== node.name)))
  coverage.count('vote forged', votes.length)
  return votes.map((vote) => ({ ...vote, voter: victim.peer }))
}

/** What an honest validator would sign if it checked nothing. */
function statementsOf(node: Validator['node'], type: string, body: Uint8Array): readonly Statement[] {
  switch (type) {
    case 'vote/assignment':
      return assignmentStatements(node, body)
    case 'vote/commit-set':
      return commitSetStatements(node, body)
    case 'vote/findings':
      return findingStatements(node, body)
    default:
      return settlementStatements(node, body)
  }
}

function assignmentStatements(node: Validator['node'], body: Uint8Array): readonly Statement[] {
  const proposal = assignmentProposalCodec.decode(body)
  if (proposal.action !== 'accept') return []
  const assignment = assignmentCodec.decode(proposal.value.assignment)
  if (assignment.action !== 'accept') return []
  const { jobId: subject, attempt } = assignment.value
  const digest = bodyDigest('assignment', node.world.genesis.swarmId, proposal.value.assignment)
  return [statementOf(node.view(), 'assignment', { subject, attempt, index: 0, digest })]
}

function commitSetStatements(node: Validator['node'], body: Uint8Array): readonly Statement[] {
  const proposal = commitSetProposalCodec.decode(body)
  if (proposal.action !== 'accept') return []
  const assignment = assignmentCodec.decode(proposal.value.assignment)
  if (assignment.action !== 'accept') return []
  const { jobId, attempt } = assignment.value
  return [commitSetStatement(node.view(), jobId as JobId, attempt, proposal.value.commitments)]
}

function findingStatements(node: Validator['node'], body: Uint8Array): readonly Statement[] {
  const proposal = findingProposalCodec.decode(body)
  if (proposal.action !== 'accept') return []
  const bench = {
    self: undefined,
    state: node.view(),
    roster: node.world.roster,
    nowMs: node.clock.nowMs(),
    facts: factsOf,
  }
  const judged = judgeFindings(bench, proposal.value)
  return judged.action === 'accept' ? judged.value.map(({ statement }) => statement) : []
}

function settlementStatements(node: Validator['node'], body: Uint8Array): readonly Statement[] {
  const proposal = settlementProposalCodec.decode(body)
  if (proposal.action !== 'accept') return []
  const { jobId, chosen, reason, attempt } = proposal.value
  const state = node.view()
  const job = state.jobs.get(jobId)
  if (job === undefined || job.phase === 'settled' || reason.length > REASON_BYTES_MAX) return []
  const settled = settlementOf(state, job, chosen === CHOSEN_NONE ? null : chosen, reason)
  if (settled.status !== 'ok') return []
  const digest = bodyDigest('settlement', state.swarmId, settlementCodec.encode(settled.body))
  const subject: JobId = job.id
  return [statementOf(state, 'settlement', { subject, attempt, index: 0, digest })]
}
