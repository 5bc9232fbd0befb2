/** Validators: honest ones judge with the real core and write each vote down before it leaves; the others do what they like. */
import type { Digest } from '../../core/ids.ts'
import { type Bench, judgeAssignment, judgeFindings, judgeSettlement } from '../../core/job/judge.ts'
import { judgeCommitSet } from '../../core/job/judge-commits.ts'
import {
  assignmentProposalCodec,
  commitSetProposalCodec,
  findingProposalCodec,
  settlementProposalCodec,
  votesCodec,
} from '../../core/job/proposal.ts'
import { CHOSEN_NONE } from '../../core/ledger/settlement.ts'
import { settlementEntryCodec } from '../../core/log/bodies-certified.ts'
import {
  type CheckedVote,
  castVote,
  decodeVote,
  encodeVote,
  type Statement,
  subjectKey,
} from '../../core/quorum/vote.ts'
import { accept, type Validation } from '../../core/validation.ts'
import { twistedVotes } from './byzantine.ts'
import type { Answer, SimNode } from './node.ts'
import { factsOf, nameOf } from './world.ts'

/** `yes`: signs whatever is proposed, as often as it is asked. `double`: adds a second vote. `forger`: votes for others. `mute`: never answers. */
export const VALIDATOR_KINDS = ['honest', 'yes', 'double', 'forger', 'mute'] as const
export type ValidatorKind = (typeof VALIDATOR_KINDS)[number]

type Judge = (bench: Bench, body: Uint8Array) => Validation<readonly Statement[]>

const NOTHING = new Uint8Array()
/** After an edge had its chance to log the refund itself. */
const SWEEP_GRACE_MS = 1_500
const SWEEP_TICKS = 4

export class Validator {
  readonly node: SimNode
  readonly kind: ValidatorKind
  /** Subjects whose vote is on its way to disk. */
  #casting = new Map<string, Digest>()
  #sweeping = new Set<string>()
  #tickCount = 0

  constructor(node: SimNode, kind: ValidatorKind) {
    this.node = node
    this.kind = kind
    node.runs(() => this.#boot())
  }

  #boot(): void {
    const { node } = this
    this.#casting = new Map()
    this.#sweeping = new Set()
    node.on('log/news', ({ text }) => node.sawLog(Number(text)))
    this.#answers('vote/assignment', judgedAssignment)
    this.#answers('vote/commit-set', judgedCommitSet)
    this.#answers('vote/findings', judgedFindings)
    this.#answers('vote/settlement', judgedSettlement)
    if (this.kind === 'honest' && node.world.bug !== 'lost-refund') node.onTick(() => this.#sweep())
  }

  #answers(type: string, judge: Judge): void {
    this.node.on(type, ({ parts, from }, answer, refuse) => {
      if (this.kind !== 'honest') return this.#misbehave(type, parts[0] ?? NOTHING, answer)
      const judged = judge(this.#bench(), parts[0] ?? NOTHING)
      if (judged.action !== 'accept') return refuse(judged.reason)
      // All statements of a proposal are about one job.
      const job = this.node.view().jobs.get(judged.value[0]?.subject ?? '')
      if (job !== undefined && nameOf(job.edge) !== from) return refuse('not_its_edge')
      this.#cast(judged.value, answer, refuse)
    })
  }

  #bench(): Bench {
    const { node } = this
    return {
      self: node.key.peer,
      state: node.view(),
      roster: node.world.roster,
      nowMs: node.clock.nowMs(),
      facts: factsOf,
    }
  }

  /** One vote per subject, for ever: a second digest is refused, the first vote is repeated. */
  #cast(statements: readonly Statement[], answer: Answer, refuse: (reason: string) => void) {
    const { node } = this
    const votes: CheckedVote[] = []
    const rows: [string, Uint8Array][] = []
    for (const statement of statements) {
      const subject = subjectKey(statement)
      const stored = node.disk.get(`vote/${subject}`)
      const digest = stored === undefined ? this.#casting.get(subject) : digestOfVote(stored)
      if (digest !== undefined && digest !== statement.digest) return refuse('already_voted')
      const vote = castVote(node.world.genesis.swarmId, statement, node.key)
      votes.push(vote)
      if (stored === undefined) rows.push([`vote/${subject}`, encodeVote(vote)])
    }
    if (rows.length === 0) return this.#send(votes, answer)
    for (const { statement } of votes) this.#casting.set(subjectKey(statement), statement.digest)
    // The bug that a checker must find: the vote is remembered for as long as the process lives.
    if (node.world.bug === 'vote-not-stored') return this.#send(votes, answer)
    node.write(rows, () => {
      for (const { statement } of votes) this.#casting.delete(subjectKey(statement))
      if (!node.world.point(node, 'vote-stored')) this.#send(votes, answer)
    })
    node.world.point(node, 'vote-begun')
  }

  #send(votes: readonly CheckedVote[], answer: Answer): void {
    const { checkers, log } = this.node.world
    for (const vote of votes) checkers.voteSent(vote, this.kind === 'honest', log.state)
    answer('', [votesCodec.encode({ votes: votes.map(encodeVote) })])
    this.node.world.point(this.node, 'vote-sent')
  }

  #misbehave(type: string, body: Uint8Array, answer: Answer): void {
    const votes = twistedVotes(this, type, body)
    if (votes === undefined) return
    const { checkers, log } = this.node.world
    for (const vote of votes) if (vote.voter === this.node.key.peer) checkers.voteSent(vote, false, log.state)
    answer('', [votesCodec.encode({ votes: votes.map(encodeVote) })])
  }

  /** Refunds what nobody else did: an edge that never comes back leaves no hold behind. */
  #sweep(): void {
    const { node } = this
    this.#tickCount += 1
    if (this.#tickCount % SWEEP_TICKS !== 0) return
    for (const [id, { phase, deadlineMs }] of node.view().jobs.entries()) {
      if (phase === 'settled' || BigInt(node.clock.nowMs() - SWEEP_GRACE_MS) < deadlineMs || this.#sweeping.has(id))
        continue
      const job = node.view().jobs.get(id)
      if (job === undefined) continue
      this.#sweeping.add(id)
      const claim = {
        jobId: job.id,
        attempt: 0,
        outcome: 'refunded',
        reason: 'deadline',
        chosen: CHOSEN_NONE,
        authority: 'expiry',
      } as const
      const body = settlementEntryCodec.encode({ ...claim, bitmap: 0, signatures: NOTHING })
      node.propose('settlement', `${node.name}/expiry/${id}`, body, (result) => {
        this.#sweeping.delete(id)
        if (result?.status === 'applied') node.world.coverage.count('refund by a validator: the edge was gone')
      })
    }
  }
}

function judgedAssignment(bench: Bench, body: Uint8Array): Validation<readonly Statement[]> {
  const decoded = assignmentProposalCodec.decode(body)
  if (decoded.action !== 'accept') return decoded
  const judged = judgeAssignment(bench, decoded.value)
  return judged.action === 'accept' ? accept([judged.value]) : judged
}

function judgedCommitSet({ state }: Bench, body: Uint8Array): Validation<readonly Statement[]> {
  const decoded = commitSetProposalCodec.decode(body)
  if (decoded.action !== 'accept') return decoded
  const judged = judgeCommitSet(state, decoded.value)
  return judged.action === 'accept' ? accept([judged.value]) : judged
}

function judgedFindings(bench: Bench, body: Uint8Array): Validation<readonly Statement[]> {
  const decoded = findingProposalCodec.decode(body)
  if (decoded.action !== 'accept') return decoded
  const judged = judgeFindings(bench, decoded.value)
  return judged.action === 'accept' ? accept(judged.value.map(({ statement }) => statement)) : judged
}

function judgedSettlement(bench: Bench, body: Uint8Array): Validation<readonly Statement[]> {
  const decoded = settlementProposalCodec.decode(body)
  if (decoded.action !== 'accept') return decoded
  const judged = judgeSettlement(bench, decoded.value)
  return judged.action === 'accept' ? accept([judged.value.statement]) : judged
}

function digestOfVote(bytes: Uint8Array): Digest | undefined {
  const vote = decodeVote(bytes)
  return vote.action === 'accept' ? vote.value.statement.digest : undefined
}
