/** A validator's answers about epochs: its commitment, its reveal's receipt, and its votes for a roster and a beacon. */
import { FabricError } from '../../core/errors.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest, PeerId } from '../../core/ids.ts'
import { votesCodec } from '../../core/job/proposal.ts'
import {
  beaconProposalCodec,
  commitListCodec,
  commitListRequestCodec,
  commitRequestCodec,
  commitsDigest,
  revealCodec,
  rosterProposalCodec,
  sealCommit,
} from '../../core/log/beacon.ts'
import { epochStart } from '../../core/log/epochs.ts'
import { judgeBeacon, judgeRoster } from '../../core/log/judge-epoch.ts'
import type { LogState } from '../../core/log/state.ts'
import { encodeRoster } from '../../core/roster/roster.ts'
import type { Membership } from '../runtime/mesh.ts'
import type { Clock, PeerTransport, Store, StoreWrite } from '../runtime/ports.ts'
import type { Reveals } from './reveals.ts'
import { taken } from './taken.ts'
import { VoteBook } from './vote-book.ts'

export type EpochVoterPorts = {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly store: Pick<Store, 'vote' | 'work' | 'commit'>
  readonly clock: Clock
  readonly state: () => LogState
  readonly membership: Pick<Membership, 'sights'>
}
export type EpochTimes = {
  /** How long a leader has. */
  readonly slotMs: number
  /** How long a validator waits for the log that a proposal was made on. */
  readonly lagMs: number
}

/** A leader may be this many turns ahead of this validator's clock; beyond, it would only fill the disk with votes. */
const TURNS_AHEAD_MAX = 16
const POLL_MS = 25
const NOTHING = new Uint8Array()

export class EpochVoter {
  readonly #ports: EpochVoterPorts
  readonly #times: EpochTimes
  readonly #reveals: Reveals
  readonly #book: VoteBook

  constructor(times: EpochTimes, ports: EpochVoterPorts, reveals: Reveals) {
    this.#times = times
    this.#ports = ports
    this.#reveals = reveals
    this.#book = new VoteBook({ ...ports, swarmId: ports.state().swarmId })
    const { transport } = ports
    transport.onMessage('beacon/commit', async (_from, body) => this.#commit(body))
    transport.onMessage('beacon/commits', async (_from, body) => this.#commits(body))
    transport.onMessage('beacon/reveal', async (from, body) => this.#reveal(from, body))
    transport.onMessage('vote/roster', (from, body, signal) => this.#voteRoster(from, body, signal))
    transport.onMessage('vote/beacon', (from, body, signal) => this.#voteBeacon(from, body, signal))
  }

  /** The commitments that a roster was certified with, when this validator voted for them. */
  commitsOf(digest: Digest): readonly Uint8Array[] | undefined {
    const { key, store } = this.#ports
    const bytes = store.work(key.peer, commitsSubject(digest))
    return bytes === undefined ? undefined : taken(commitListCodec.decode(bytes)).commits
  }

  #commit(body: Uint8Array): Uint8Array {
    const { epoch } = taken(commitRequestCodec.decode(body))
    const { key, state } = this.#ports
    const { swarmId, validators } = state()
    if (epoch !== state().epoch + 1n) throw refused('stale')
    return sealCommit(key, swarmId, epoch, validators)
  }

  #commits(body: Uint8Array): Uint8Array {
    const commits = this.commitsOf(taken(commitListRequestCodec.decode(body)).commits)
    if (commits === undefined) throw refused('unknown_parent')
    return commitListCodec.encode({ commits })
  }

  #reveal(from: PeerId, body: Uint8Array): Uint8Array {
    const { epoch, nonce } = taken(revealCodec.decode(body))
    const state = this.#synced()
    if (epoch !== state.epoch + 1n) throw refused('stale')
    if (!state.validators.keys.includes(from)) throw refused('voter_not_in_set')
    this.#reveals.add(from, nonce)
    return NOTHING
  }

  async #voteRoster(from: PeerId, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { membership, clock, key } = this.#ports
    const proposal = taken(rosterProposalCodec.decode(body))
    const state = await this.#caughtUp(proposal.headIndex, signal)
    this.#boundAttempt(proposal.attempt, Number(epochStart(state, state.epoch)?.startedMs ?? 0n))
    const sights = new Map(membership.sights().map((sight) => [sight.peer, sight]))
    const judged = taken(judgeRoster({ state, sights, nowMs: clock.nowMs() }, proposal, from))
    const { statement, roster, commits } = judged
    const { root, epoch } = roster
    // Whoever certifies members can name them later, and can go on to their beacon after a restart.
    const alongside: readonly StoreWrite[] = [
      { table: 'roster', root, epoch, bytes: encodeRoster(roster) },
      {
        ...{ table: 'work', worker: key.peer, subject: commitsSubject(commitsDigest(commits)) },
        bytes: commitListCodec.encode({ commits }),
      },
    ]
    return votesCodec.encode({ votes: await this.#book.cast([statement], alongside) })
  }

  async #voteBeacon(from: PeerId, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const proposal = taken(beaconProposalCodec.decode(body))
    await this.#caughtUp(proposal.headIndex, signal)
    const state = this.#synced()
    this.#boundAttempt(proposal.attempt, Number(state.nextRoster?.loggedMs ?? 0n))
    const overdue = this.#reveals.overdue(this.#ports.clock.nowMs())
    const statement = taken(judgeBeacon({ state, revealed: this.#reveals.parts, overdue }, proposal, from))
    return votesCodec.encode({ votes: await this.#book.cast([statement]) })
  }

  #boundAttempt(attempt: number, sinceMs: number): void {
    const turn = Math.floor((this.#ports.clock.nowMs() - sinceMs) / this.#times.slotMs)
    if (attempt > turn + TURNS_AHEAD_MAX) throw refused('stale')
  }

  /** The proposer may be ahead: its log is waited for, not guessed. */
  async #caughtUp(headIndex: bigint, signal: AbortSignal): Promise<LogState> {
    const { state, clock } = this.#ports
    const patience = Math.ceil(this.#times.lagMs / POLL_MS)
    for (let turn = 0; state().head.index < headIndex; turn++) {
      if (turn >= patience) throw refused('unknown_parent')
      await clock.sleep(POLL_MS, signal)
    }
    return state()
  }

  #synced(): LogState {
    const { state, clock } = this.#ports
    this.#reveals.sync(state(), clock.nowMs())
    return state()
  }
}

function commitsSubject(digest: Digest): string {
  return `beacon-commits/${digest}`
}

function refused(reason: string): FabricError {
  return new FabricError('CF_MESH_REFUSED', { reason })
}
