/** A simulated validator: judges what it is shown and signs one digest a subject, unless it is Byzantine. */
import type { KeyPair } from '../../core/identity/keys.ts'
import { digestOf, type PeerId } from '../../core/ids.ts'
import { judgeAssignment, judgeSettlement } from '../../core/job/judge.ts'
import { judgeCommitSet } from '../../core/job/judge-commits.ts'
import type {
  AssignmentProposal,
  CommitSetProposal,
  FindingProposal,
  SettlementProposal,
} from '../../core/job/proposal.ts'
import { abstainersOf } from '../../core/log/authority.ts'
import { castVote, type Statement, subjectKey, type Vote } from '../../core/quorum/vote.ts'
import { benchOf, type World } from './world.ts'

export type Proposal =
  | { readonly type: 'assignment'; readonly body: AssignmentProposal }
  | { readonly type: 'commit-set'; readonly body: CommitSetProposal }
  | { readonly type: 'findings'; readonly body: FindingProposal }
  | { readonly type: 'settlement'; readonly body: SettlementProposal }

const DIGEST_BYTES = 32
const MISDEEDS = ['mute', 'other', 'double'] as const

export class ValidatorPeer {
  readonly #world: World
  readonly #key: KeyPair
  readonly #isByzantine: boolean
  /** The vote of each subject, for ever: a second digest is refused, the first vote is repeated. */
  readonly #cast = new Map<string, readonly Vote[]>()

  constructor(world: World, key: KeyPair, isByzantine: boolean) {
    this.#world = world
    this.#key = key
    this.#isByzantine = isByzantine
  }

  /** @returns undefined for no answer at all */
  vote(proposal: Proposal): readonly Vote[] | undefined {
    const statements = this.#judge(proposal)
    if (statements === undefined) return undefined
    return this.#isByzantine ? this.#twisted(statements) : statements.flatMap((statement) => this.#honest(statement))
  }

  #judge(proposal: Proposal): readonly Statement[] | undefined {
    const bench = benchOf(this.#world, this.#key.peer)
    switch (proposal.type) {
      case 'assignment': {
        const judged = judgeAssignment(bench, proposal.body)
        return judged.action === 'accept' ? [judged.value] : undefined
      }
      case 'commit-set': {
        const judged = judgeCommitSet(bench.state, proposal.body)
        return judged.action === 'accept' ? [judged.value] : undefined
      }
      case 'findings': {
        const judged = this.#world.rules.judgeFindings(bench, proposal.body)
        return judged.action === 'accept' ? judged.value.map(({ statement }) => statement) : undefined
      }
      case 'settlement': {
        const judged = judgeSettlement(bench, proposal.body)
        return judged.action === 'accept' ? [judged.value.statement] : undefined
      }
    }
  }

  #honest(statement: Statement): readonly Vote[] {
    const subject = subjectKey(statement)
    const earlier = this.#cast.get(subject)
    if (earlier !== undefined) return earlier.some((vote) => vote.statement.digest === statement.digest) ? earlier : []
    const { rules, swarm } = this.#world
    const votes = rules.cast(swarm.genesis.swarmId, statement, this.#key)
    this.#cast.set(subject, votes)
    this.#sent(votes, true)
    return votes
  }

  #twisted(statements: readonly Statement[]): readonly Vote[] | undefined {
    const { prng, swarm } = this.#world
    const misdeed = prng.pick(MISDEEDS)
    if (misdeed === 'mute') return undefined
    const other = statements.map((statement) => ({ ...statement, digest: digestOf(prng.bytes(DIGEST_BYTES)) }))
    const signed = misdeed === 'other' ? other : [...statements, ...other]
    const votes = signed.map((statement) => castVote(swarm.genesis.swarmId, statement, this.#key))
    this.#sent(votes, false)
    return votes
  }

  #sent(votes: readonly Vote[], isHonest: boolean): void {
    const { votes: checker, recorder } = this.#world
    recorder.signatures += votes.length
    for (const vote of votes) checker.sent(vote, isHonest, this.#excluded(vote.statement))
  }

  #excluded({ kind, subject, index }: Statement): readonly PeerId[] {
    const { state } = this.#world.log
    const worker = kind === 'finding' ? state.jobs.get(subject)?.workers[index] : undefined
    return worker === undefined ? [] : abstainersOf(state, worker)
  }
}
