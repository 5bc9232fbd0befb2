/** Asks the validators for votes and counts them until a quorum agrees. */
import { FabricError } from '../../core/errors.ts'
import type { PeerId, SwarmId } from '../../core/ids.ts'
import { votesCodec } from '../../core/job/proposal.ts'
import { type CompactCertificate, compactOf } from '../../core/quorum/certificate.ts'
import type { Evidence } from '../../core/quorum/evidence.ts'
import { addVote, createTally, result, type Tally } from '../../core/quorum/tally.ts'
import type { ValidatorSet } from '../../core/quorum/validators.ts'
import { type CheckedVote, checkVote, decodeVote, subjectKey, type Topic } from '../../core/quorum/vote.ts'
import type { PeerTransport } from '../runtime/ports.ts'

export type TallyRequest = {
  readonly swarmId: SwarmId
  readonly set: ValidatorSet
  /** Message type that the validators answer. */
  readonly type: string
  readonly body: Uint8Array
  /** Makes of the body what one validator alone can read; absent: it is no secret. */
  readonly sealFor?: ((validator: PeerId, body: Uint8Array) => Uint8Array) | undefined
  /** What is voted on, with who may not vote on it. */
  readonly topics: readonly { readonly topic: Topic; readonly excluded: readonly PeerId[] }[]
  readonly deadlineMs: number
  readonly signal: AbortSignal
} & VoteWatch

/** Who looks on while votes are counted. */
export type VoteWatch = {
  /** Two votes of one validator on one subject. */
  readonly onEvidence: (evidence: Evidence) => void
  /** Every vote that was counted: kept, it may contradict one of another round. */
  readonly onVote?: ((vote: CheckedVote) => void) | undefined
  /** The votes of a round without a quorum. */
  readonly onSplit?: ((votes: readonly CheckedVote[]) => void) | undefined
}

const ENOUGH = new FabricError('CF_JOB_EXPIRED', { reason: 'quorum_reached' })

export type Tallied = { readonly digest: string; readonly certificate: CompactCertificate }

/**
 * Collects votes until every topic has its certificate.
 *
 * @returns one certificate per topic, in order, or undefined when too few validators voted alike before the deadline
 */
export function collectVotes(transport: PeerTransport, request: TallyRequest): Promise<readonly Tallied[] | undefined> {
  const tallies = new Map(
    request.topics.map(({ topic, excluded }) => [subjectKey(topic), createTally(request.set, topic, excluded)]),
  )
  const enough = new AbortController()
  const signal = AbortSignal.any([request.signal, enough.signal])
  return new Promise((resolve) => {
    let waiting = request.set.keys.length
    const settle = (): void => {
      const certificates = certificatesOf(tallies)
      if (certificates === undefined && waiting > 0) return
      if (certificates === undefined)
        request.onSplit?.([...tallies.values()].flatMap(({ votes }) => [...votes.values()]))
      resolve(certificates)
      // Whoever has not answered is not waited for: a silent validator would hold its request until the deadline.
      enough.abort(ENOUGH)
    }
    for (const peer of request.set.keys) {
      ask(transport, request, peer, signal)
        .then((answer) => countVotes(tallies, answer, request))
        // A validator that does not answer is one vote less: the tally decides whether that matters.
        .catch(() => undefined)
        .finally(() => {
          waiting -= 1
          settle()
        })
    }
  })
}

/** Async: a body that cannot be sealed is one vote less, as one that cannot be sent is. */
async function ask(
  transport: PeerTransport,
  { type, body, sealFor, deadlineMs }: TallyRequest,
  peer: PeerId,
  signal: AbortSignal,
): Promise<Uint8Array> {
  return transport.request(peer, type, sealFor?.(peer, body) ?? body, { deadlineMs, signal })
}

function certificatesOf(tallies: ReadonlyMap<string, Tally>): readonly Tallied[] | undefined {
  const certificates: Tallied[] = []
  for (const tally of tallies.values()) {
    const won = result(tally)
    if (won === undefined) return undefined
    certificates.push({ digest: won.certificate.statement.digest, certificate: compactOf(won.certificate) })
  }
  return certificates
}

function countVotes(tallies: Map<string, Tally>, answer: Uint8Array, request: TallyRequest): void {
  const decoded = votesCodec.decode(answer)
  if (decoded.action !== 'accept') return
  for (const bytes of decoded.value.votes) {
    const vote = decodeVote(bytes)
    if (vote.action !== 'accept') continue
    const key = subjectKey(vote.value.statement)
    const tally = tallies.get(key)
    if (tally === undefined) continue
    const checked = checkVote(request.swarmId, request.set, vote.value)
    if (checked.action !== 'accept') continue
    request.onVote?.(checked.value)
    const tallied = addVote(tally, checked.value)
    tallies.set(key, tallied.tally)
    if (tallied.evidence !== undefined) request.onEvidence(tallied.evidence)
  }
}
