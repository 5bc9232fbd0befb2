/** The validator's role: check what a coordinator proposes, put the vote on disk, then send it. */
import { FabricError } from '../../core/errors.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest } from '../../core/ids.ts'
import { judgeAssignment, judgeFindings, judgeSettlement, type ModelFacts } from '../../core/job/judge.ts'
import {
  assignmentProposalCodec,
  findingProposalCodec,
  settlementProposalCodec,
  votesCodec,
} from '../../core/job/proposal.ts'
import type { LogState } from '../../core/log/state.ts'
import { castVote, decodeVote, encodeVote, type Statement, subjectKey } from '../../core/quorum/vote.ts'
import type { RosterSnapshot } from '../../core/roster/roster.ts'
import type { Clock, PeerTransport, Store, StoreWrite } from '../runtime/ports.ts'
import { taken } from './taken.ts'

export type ValidatorPorts = {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly store: Store
  readonly clock: Clock
  readonly state: () => LogState
  readonly roster: () => RosterSnapshot
  readonly facts: (modelDigest: Digest) => ModelFacts | undefined
}

/** Subjects whose vote is on its way to disk; bounded by the requests that a transport admits at once. */
const CASTING_MAX = 4_096

export class ValidatorRole {
  readonly #ports: ValidatorPorts
  readonly #casting = new Map<string, Digest>()

  constructor(ports: ValidatorPorts) {
    this.#ports = ports
    const { transport } = ports
    transport.onMessage('vote/assignment', async (_from, body) => {
      const proposal = taken(assignmentProposalCodec.decode(body))
      return this.#answer([taken(judgeAssignment(this.#bench(), proposal))])
    })
    transport.onMessage('vote/findings', async (_from, body) => {
      const proposal = taken(findingProposalCodec.decode(body))
      return this.#answer(taken(judgeFindings(this.#bench(), proposal)).map(({ statement }) => statement))
    })
    transport.onMessage('vote/settlement', async (_from, body) => {
      const proposal = taken(settlementProposalCodec.decode(body))
      return this.#answer([taken(judgeSettlement(this.#bench(), proposal)).statement])
    })
  }

  #bench() {
    const { key, state, roster, clock, facts } = this.#ports
    return { self: key.peer, state: state(), roster: roster(), nowMs: clock.nowMs(), facts }
  }

  async #answer(statements: readonly Statement[]): Promise<Uint8Array> {
    const votes = await this.#cast(statements)
    return votesCodec.encode({ votes })
  }

  /** One vote per subject, for ever: a second digest is refused, the first vote is repeated. */
  async #cast(statements: readonly Statement[]): Promise<readonly Uint8Array[]> {
    const { key, store, state } = this.#ports
    const votes: Uint8Array[] = []
    const writes: StoreWrite[] = []
    for (const statement of statements) {
      const subject = subjectKey(statement)
      const earlier = store.vote(key.peer, subject)
      const digest = earlier === undefined ? this.#casting.get(subject) : votedDigest(earlier)
      if (digest !== undefined && digest !== statement.digest)
        throw new FabricError('CF_MESH_REFUSED', { reason: 'already_voted' })
      const bytes = earlier ?? encodeVote(castVote(state().swarmId, statement, key))
      if (earlier === undefined) writes.push({ table: 'vote', voter: key.peer, subject, bytes })
      votes.push(bytes)
    }
    if (writes.length > 0) await this.#persist(statements, writes)
    return votes
  }

  async #persist(statements: readonly Statement[], writes: readonly StoreWrite[]): Promise<void> {
    if (this.#casting.size + statements.length > CASTING_MAX)
      throw new FabricError('CF_STORE_QUEUE_FULL', { votes: this.#casting.size })
    const subjects = statements.map((statement) => [subjectKey(statement), statement.digest] as const)
    for (const [subject, digest] of subjects) this.#casting.set(subject, digest)
    try {
      // Disk before network: a restart must not un-say a vote.
      await this.#ports.store.commit(writes)
    } finally {
      for (const [subject] of subjects) this.#casting.delete(subject)
    }
  }
}

function votedDigest(bytes: Uint8Array): Digest {
  return taken(decodeVote(bytes)).statement.digest
}
