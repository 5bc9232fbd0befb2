/** A validator's votes: one for each subject, for ever, on disk before it is sent. */
import { FabricError } from '../../core/errors.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest, SwarmId } from '../../core/ids.ts'
import { castVote, decodeVote, encodeVote, type Statement, subjectKey } from '../../core/quorum/vote.ts'
import type { Store, StoreWrite } from '../runtime/ports.ts'
import { taken } from './taken.ts'

export type VoteBookPorts = {
  readonly key: KeyPair
  readonly store: Pick<Store, 'vote' | 'commit'>
  readonly swarmId: SwarmId
}

/** Subjects whose vote is on its way to disk; bounded by the requests that a transport admits at once. */
const CASTING_MAX = 4_096

export class VoteBook {
  readonly #ports: VoteBookPorts
  readonly #casting = new Map<string, Digest>()

  constructor(ports: VoteBookPorts) {
    this.#ports = ports
  }

  /**
   * Votes: a second digest for a subject is refused, the first vote is repeated.
   *
   * @param alongside  rows that must be on disk when these votes are
   * @throws FabricError CF_MESH_REFUSED already_voted; CF_STORE_QUEUE_FULL
   */
  async cast(statements: readonly Statement[], alongside: readonly StoreWrite[] = []): Promise<readonly Uint8Array[]> {
    const { key, store, swarmId } = this.#ports
    const votes: Uint8Array[] = []
    const writes: StoreWrite[] = []
    for (const statement of statements) {
      const subject = subjectKey(statement)
      const earlier = store.vote(key.peer, subject)
      const digest = earlier === undefined ? this.#casting.get(subject) : votedDigest(earlier)
      if (digest !== undefined && digest !== statement.digest)
        throw new FabricError('CF_MESH_REFUSED', { reason: 'already_voted' })
      const bytes = earlier ?? encodeVote(castVote(swarmId, statement, key))
      if (earlier === undefined) writes.push({ table: 'vote', voter: key.peer, subject, bytes })
      votes.push(bytes)
    }
    if (writes.length > 0) await this.#persist(statements, [...writes, ...alongside])
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
