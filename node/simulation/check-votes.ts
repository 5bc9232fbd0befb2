/** Follows every vote that leaves a validator, also those that never arrive: what could be certified counts, not only what was. */
import type { PeerId } from '../../core/ids.ts'
import { type Statement, subjectKey, type Vote } from '../../core/quorum/vote.ts'
import type { Violations } from './violations.ts'

export class VoteChecker {
  votes = 0
  byzantineVotes = 0
  readonly #violations: Violations
  readonly #quorum: number
  /** subject -> digest -> everybody who has signed that. */
  readonly #signed = new Map<string, Map<string, Set<PeerId>>>()
  readonly #certified = new Map<string, string>()

  constructor(violations: Violations, quorum: number) {
    this.#violations = violations
    this.#quorum = quorum
  }

  /** @param excluded  validators whose votes on this subject count for nothing */
  sent({ voter, statement }: Vote, isHonest: boolean, excluded: readonly PeerId[]): void {
    if (isHonest) this.votes += 1
    else this.byzantineVotes += 1
    const key = subjectKey(statement)
    const byDigest = this.#signed.get(key) ?? new Map<string, Set<PeerId>>()
    this.#signed.set(key, byDigest)
    for (const [digest, voters] of byDigest) {
      if (isHonest && digest !== statement.digest && voters.has(voter))
        this.#violations.found('one-vote-per-subject', `${voter} signed two digests: ${describe(statement)}`)
    }
    byDigest.set(statement.digest, (byDigest.get(statement.digest) ?? new Set()).add(voter))
    const quorums = [...byDigest.values()].filter(
      (voters) => [...voters].filter((peer) => !excluded.includes(peer)).length >= this.#quorum,
    )
    if (quorums.length > 1)
      this.#violations.found('one-certificate', `two digests could be certified: ${describe(statement)}`)
  }

  certified(statement: Statement): void {
    const key = subjectKey(statement)
    const earlier = this.#certified.get(key)
    if (earlier !== undefined && earlier !== statement.digest)
      this.#violations.found('one-certificate', `two certificates: ${describe(statement)}`)
    this.#certified.set(key, statement.digest)
  }
}

function describe({ kind, subject, index }: Statement): string {
  return `${kind} ${index} of ${subject}`
}
