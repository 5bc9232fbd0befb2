/** Certified snapshots: every validator takes the state at the same entries, a quorum signs its digest, and the log before it may go. */
import { FabricError } from '../../core/errors.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { type Digest, digestBytes, type PeerId } from '../../core/ids.ts'
import { votesCodec } from '../../core/job/proposal.ts'
import type { Applied } from '../../core/log/apply.ts'
import { numberedSubject, statementOf } from '../../core/log/authority.ts'
import { snapshotEntryCodec } from '../../core/log/bodies-certified.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import { manifestCodec, pieceDigest, snapshotDigest } from '../../core/log/snapshot.ts'
import { checkSnapshotProof } from '../../core/log/snapshot-proof.ts'
import type { Evidence } from '../../core/quorum/evidence.ts'
import type { Statement } from '../../core/quorum/vote.ts'
import type { Clock, PeerTransport, RegionLog, Store } from '../runtime/ports.ts'
import type { StateLedger } from '../stores/ledger-core.ts'
import type { FetchedSnapshot } from '../stores/snapshot-install.ts'
import { type SnapshotShelf, takeSnapshot } from '../stores/snapshot-shelf.ts'
import type { SwarmLogAccess } from './log-access.ts'
import { snapshotAnswerCodec, snapshotProposalCodec, snapshotRequestCodec } from './log-messages.ts'
import { taken } from './taken.ts'
import { collectVotes } from './tallies.ts'
import { VoteBook } from './vote-book.ts'

export type SnapshotOptions = {
  /** As `snapshotEvery` of the ledger: entries from one snapshot to the next. */
  readonly every: number
  /** Entries before a snapshot that stay in the log, for histories and audits. */
  readonly keepEntries: number
  readonly voteMs?: number
  readonly retryMs?: number
  /** By how much validators that share a log come after each other with the same proposal. */
  readonly turnMs?: number
}
export type SnapshotPorts = {
  /** Of the validator. */
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly store: Store
  readonly clock: Clock
  readonly ledger: StateLedger
  readonly shelf: SnapshotShelf
  /** Present where this validator holds the log: it proposes snapshots and trims. */
  readonly log?: RegionLog
  readonly isMember: (peer: PeerId) => boolean
  readonly onEvidence: (evidence: Evidence) => void
}

/** The log keeps some days of a busy region. */
export const SNAPSHOT_DEFAULTS = { every: 16_384, keepEntries: 65_536 } as const
const DEFAULTS = { voteMs: 5_000, retryMs: 2_000, turnMs: 10_000 }
/** A snapshot that gets no quorum in so many rounds waits for the next one. */
const ROUNDS_MAX = 30

export class Snapshots {
  readonly #options: Required<SnapshotOptions>
  readonly #ports: SnapshotPorts
  readonly #votes: VoteBook
  readonly #stopped = new AbortController()
  readonly #stop: () => void
  /** Writes one after the other. */
  #turn: Promise<void> = Promise.resolve()

  constructor(options: SnapshotOptions, ports: SnapshotPorts) {
    this.#options = { ...DEFAULTS, ...options }
    this.#ports = ports
    const { transport, ledger, key, store } = ports
    this.#votes = new VoteBook({ key, store, swarmId: ledger.state.swarmId })
    this.#stop = ledger.onApplied((applied) => this.#applied(applied))
    transport.onMessage('vote/snapshot', async (from, body) => this.#vote(this.#member(from), body))
    transport.onMessage('log/snapshot', async (from, body) => this.#serve(this.#member(from), body))
  }

  async close(): Promise<void> {
    this.#stop()
    this.#stopped.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    await this.#turn
  }

  /** Called when the state stands exactly at the entry: no batch goes beyond one at which a snapshot is due. */
  #applied({ kind, entry }: Applied): void {
    const { shelf, ledger, store } = this.#ports
    if (kind === 'validator-set') this.#queue(() => shelf.changeSet(entry.index, entry.body))
    if (kind === 'snapshot') this.#queue(() => this.#certified(entry.body))
    if (entry.index === 0n || entry.index % BigInt(this.#options.every) !== 0n) return
    const snapshot = takeSnapshot(ledger.state, store)
    this.#queue(async () => {
      await shelf.keep(snapshot.index, snapshot)
      if (this.#ports.log !== undefined) void this.#propose(snapshot.index, snapshot.digest)
    })
  }

  async #certified(entry: Uint8Array): Promise<void> {
    const { shelf, log } = this.#ports
    await shelf.certify(entry)
    const { index, digest } = taken(snapshotEntryCodec.decode(entry))
    if (log === undefined) return
    await log.snapshot(index, digestBytes(digest))
    const before = index - BigInt(this.#options.keepEntries)
    if (before > 0n) await log.trim(before)
  }

  /** Asks for votes until the snapshot is in the log, or another validator's proposal of it is. */
  async #propose(index: bigint, digest: Digest): Promise<void> {
    const { clock, ledger } = this.#ports
    const { signal } = this.#stopped
    try {
      await clock.sleep(this.#turnOf(index) * this.#options.turnMs, signal)
      for (let round = 0; round < ROUNDS_MAX && !signal.aborted; round += 1) {
        if ((ledger.state.snapshot?.index ?? -1n) >= index) return
        if (await this.#proposeOnce(index, digest, signal)) return
        await clock.sleep(this.#options.retryMs, signal)
      }
    } catch (error) {
      // The world's fault, or the end: the next snapshot comes anyway.
      if (!(error instanceof FabricError)) throw error
    }
  }

  async #proposeOnce(index: bigint, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { ledger, transport, onEvidence } = this.#ports
    const { swarmId, validators: set } = ledger.state
    const won = await collectVotes(transport, {
      ...{ swarmId, set, signal, onEvidence, type: 'vote/snapshot', deadlineMs: this.#options.voteMs },
      body: snapshotProposalCodec.encode({ index, digest }),
      topics: [{ topic: this.#statement(index, digest), excluded: [] }],
    })
    if (won?.[0] === undefined || won[0].digest !== digest) return false
    const entry = snapshotEntryCodec.encode({ index, digest, attempt: 0, ...won[0].certificate })
    await ledger.append('snapshot', entry)
    return true
  }

  /** A vote for the snapshot that this node took itself, and for no other. */
  async #vote(_from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { shelf, ledger } = this.#ports
    const { index, digest } = taken(snapshotProposalCodec.decode(body))
    const manifest = shelf.manifest(index)
    if (manifest === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'snapshot_unknown' })
    if (snapshotDigest(ledger.state.swarmId, manifest) !== digest)
      throw new FabricError('CF_MESH_REFUSED', { reason: 'snapshot_mismatch' })
    return votesCodec.encode({ votes: await this.#votes.cast([this.#statement(index, digest)]) })
  }

  #statement(index: bigint, digest: Digest): Statement {
    const { state } = this.#ports.ledger
    const subject = numberedSubject(state, 'snapshot', index)
    return statementOf(state, 'snapshot', { subject, attempt: 0, index: 0, digest })
  }

  async #serve(_from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { shelf } = this.#ports
    const { index, place } = taken(snapshotRequestCodec.decode(body))
    if (place > 0) {
      const piece = shelf.piece(index, place - 1)
      if (piece === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'snapshot_unknown' })
      return piece
    }
    const kept = shelf.newest()
    if (kept === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'snapshot_unknown' })
    return snapshotAnswerCodec.encode({ manifest: kept.manifest, ...kept.proof })
  }

  /** How many come before this validator with the proposal of a snapshot. */
  #turnOf(index: bigint): number {
    const { key, ledger } = this.#ports
    const { genesis, validators } = ledger.state
    if (genesis.log === 'sqlite') return 0
    const count = validators.keys.length
    const turn = Number((index / BigInt(this.#options.every)) % BigInt(count))
    return (validators.keys.indexOf(key.peer) - turn + count) % count
  }

  #member(peer: PeerId): PeerId {
    if (this.#ports.isMember(peer)) return peer
    throw new FabricError('CF_MESH_REFUSED', { reason: 'stranger' })
  }

  #queue(work: () => Promise<void>): void {
    this.#turn = this.#turn.then(work).catch((error: unknown) => {
      // A disk that refuses costs a snapshot, not the node.
      if (!(error instanceof FabricError)) throw error
    })
  }
}

/**
 * Gets the newest certified snapshot from validators, piece by piece, from whoever has it.
 *
 * What does not follow from the genesis or the manifest counts as no answer: another validator is asked.
 */
export async function fetchSnapshot(genesis: Genesis, access: SwarmLogAccess): Promise<FetchedSnapshot> {
  const newest = snapshotRequestCodec.encode({ index: 0n, place: 0 })
  const { manifest, entry, setChanges } = await access.ask('log/snapshot', newest, (bytes) => {
    const answer = taken(snapshotAnswerCodec.decode(bytes))
    const proven = taken(checkSnapshotProof(genesis, answer))
    if (snapshotDigest(genesis.swarmId, answer.manifest) !== proven.digest)
      throw new FabricError('CF_MESH_REFUSED', { reason: 'snapshot_mismatch' })
    return answer
  })
  const { index, pieces: digests } = taken(manifestCodec.decode(manifest))
  const pieces: Uint8Array[] = []
  for (const [place, digest] of digests.entries()) {
    const request = snapshotRequestCodec.encode({ index, place: place + 1 })
    pieces.push(
      await access.ask('log/snapshot', request, (bytes) => {
        if (pieceDigest(bytes) === digest) return bytes
        throw new FabricError('CF_MESH_REFUSED', { reason: 'snapshot_mismatch' })
      }),
    )
  }
  return { manifest, pieces, proof: { entry, setChanges } }
}
