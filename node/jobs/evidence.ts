/**
 * Finds validators that vote twice, wherever their votes are seen, and has the proof put into the log: there it costs them their
 * place in draws.
 */
import { bytesMax, defineBody, list } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { rememberWithin } from '../../core/identity/bounded-cache.ts'
import type { PeerId } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Applied } from '../../core/log/apply.ts'
import { evidenceKey } from '../../core/log/apply-peer.ts'
import { evidenceEntryCodec } from '../../core/log/bodies-certified.ts'
import { certifiedVotes } from '../../core/log/certified-votes.ts'
import type { LogState } from '../../core/log/state.ts'
import { checkEvidence, type Evidence, encodeEvidence, evidenceOf } from '../../core/quorum/evidence.ts'
import { type CheckedVote, checkVote, decodeVote, encodeVote, subjectKey, type Vote } from '../../core/quorum/vote.ts'
import type { Ledger, PeerTransport } from '../runtime/ports.ts'
import { taken } from './taken.ts'

export type EvidencePorts = {
  readonly transport: PeerTransport
  readonly ledger: Pick<Ledger, 'append'>
  readonly state: () => LogState
  readonly misbehaved: (peer: PeerId, reason: string) => void
  readonly fatal: (error: unknown) => void
  readonly signal: AbortSignal
}

/** Votes that are remembered, and proofs that were reported: the oldest make room. */
const VOTES_MAX = 8_192
const REPORTED_MAX = 1_024
const TELL_MS = 2_000
const NOTHING = new Uint8Array()

/** All votes of one round, each at most VOTE_BYTES. */
const votesSeenCodec = defineBody(
  'votes-seen',
  { votes: list(bytesMax(256), LIMITS.validatorCountMax * LIMITS.replicaCountMax) },
  20_480,
)

export class EvidenceDesk {
  readonly #ports: EvidencePorts
  readonly #votes = new Map<string, Vote>()
  readonly #reported = new Map<string, true>()
  readonly #shared = new Map<string, true>()

  constructor(ports: EvidencePorts) {
    this.#ports = ports
  }

  /** Lets others bring what they found; for validators, who can log it. */
  serve(): void {
    const { transport, state, misbehaved } = this.#ports
    transport.onMessage('evidence/seen', async (from, body) => {
      const checked = checkEvidence(state().swarmId, state().validators, body)
      if (checked.action !== 'accept') {
        misbehaved(from, 'signature_invalid')
        throw new FabricError('CF_MESH_REFUSED', { reason: 'evidence_invalid' })
      }
      this.#log(checked.value)
      return NOTHING
    })
    transport.onMessage('evidence/votes', async (_from, body) => {
      const { swarmId, validators } = state()
      for (const bytes of taken(votesSeenCodec.decode(body)).votes)
        this.see(taken(checkVote(swarmId, validators, taken(decodeVote(bytes)))))
      return NOTHING
    })
  }

  /** Remembers a vote; the second of two that contradict each other is reported. */
  see = (vote: CheckedVote): void => {
    const key = `${vote.voter}/${subjectKey(vote.statement)}`
    const earlier = this.#votes.get(key)
    const evidence = earlier === undefined ? undefined : evidenceOf(earlier, vote)
    if (earlier === undefined) rememberWithin(this.#votes, key, vote, VOTES_MAX)
    if (evidence !== undefined) this.report(evidence)
  }

  /** What a validator signed in the log it may not have signed otherwise. */
  logged(applied: Applied): void {
    for (const vote of certifiedVotes(this.#ports.state(), applied)) this.see(vote)
  }

  /**
   * Shows the validators the votes of a round that found no quorum.
   *
   * Why: of a validator that says one thing to this node and another to that one, each has half of the proof.
   */
  share = (votes: readonly CheckedVote[]): void => {
    const fresh = votes.filter(({ voter, statement }) => {
      const key = `${voter}/${subjectKey(statement)}/${statement.digest}`
      if (this.#shared.has(key)) return false
      rememberWithin(this.#shared, key, true, REPORTED_MAX)
      return true
    })
    if (fresh.length > 0) this.#tell('evidence/votes', votesSeenCodec.encode({ votes: fresh.map(encodeVote) }))
  }

  /** Logs a proof and tells the validators: one of them may hold the log and drop what it does not like. */
  report = (evidence: Evidence): void => {
    if (this.#reported.has(evidenceKey(evidence))) return
    this.#ports.misbehaved(evidence.first.voter, 'vote_equivocation')
    this.#log(evidence)
    this.#tell('evidence/seen', encodeEvidence(evidence))
  }

  #log(evidence: Evidence): void {
    const { ledger, state, fatal, signal } = this.#ports
    const key = evidenceKey(evidence)
    if (this.#reported.has(key) || state().evidence.has(key)) return
    rememberWithin(this.#reported, key, true, REPORTED_MAX)
    const body = evidenceEntryCodec.encode({ evidence: encodeEvidence(evidence) })
    ledger.append('evidence', body).catch((error: unknown) => {
      // The log is away: whoever sees the two votes again reports them again.
      this.#reported.delete(key)
      if (!(error instanceof FabricError) && !signal.aborted) fatal(error)
    })
  }

  #tell(type: string, body: Uint8Array): void {
    const { transport, state, fatal, signal } = this.#ports
    for (const peer of state().validators.keys) {
      if (peer === transport.self) continue
      transport.request(peer, type, body, { deadlineMs: TELL_MS, signal }).catch((error: unknown) => {
        // Whoever cannot be told now hears of it from the log.
        if (!(error instanceof FabricError) && !signal.aborted) fatal(error)
      })
    }
  }
}
