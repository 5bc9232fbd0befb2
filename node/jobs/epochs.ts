/** Moves a swarm from epoch to epoch: validators take turns to propose the members, and then the beacon that their draws use. */
import { FabricError } from '../../core/errors.ts'
import type { PeerId } from '../../core/ids.ts'
import { numberedSubject, statementOf } from '../../core/log/authority.ts'
import {
  type BeaconTerms,
  beaconOf,
  beaconProposalCodec,
  commitListCodec,
  commitListRequestCodec,
  commitRequestCodec,
  commitsDigest,
  forfeitsOf,
  isReveal,
  nonceOf,
  openCommit,
  revealCodec,
  revealsNeeded,
  rosterProposalCodec,
} from '../../core/log/beacon.ts'
import { beaconEntryCodec, rosterEntryCodec } from '../../core/log/bodies-certified.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import { beaconDigest, epochStart, rosterDigest } from '../../core/log/epochs.ts'
import { beaconTerms, leaderOf } from '../../core/log/judge-epoch.ts'
import { isEpochDue, membersSeen } from '../../core/log/members.ts'
import type { LogState } from '../../core/log/state.ts'
import type { CompactCertificate } from '../../core/quorum/certificate.ts'
import type { Statement } from '../../core/quorum/vote.ts'
import { encodeRoster, type Member, rosterSnapshot } from '../../core/roster/roster.ts'
import type { Rosters } from '../runtime/mesh.ts'
import type { Ledger } from '../runtime/ports.ts'
import { EpochVoter, type EpochVoterPorts } from './epoch-voter.ts'
import { Reveals } from './reveals.ts'
import { collectVotes, type VoteWatch } from './tallies.ts'

export type EpochOptions = {
  readonly tickMs?: number
  /** How long a leader has before it is another's turn. */
  readonly slotMs?: number
  readonly requestMs?: number
  /** From a roster's entry until a validator that keeps its part to itself forfeits. */
  readonly revealMs?: number
  readonly lagMs?: number
}
export type EpochPorts = EpochVoterPorts &
  VoteWatch & {
    readonly ledger: Pick<Ledger, 'append'>
    readonly rosters: Rosters
  }

const TIMES = { tickMs: 200, slotMs: 4_000, requestMs: 1_500, revealMs: 3_000, lagMs: 1_000 } as const
/** Under the transport's bound on a body, beside the roster and the commitments. */
const RECORDS_BYTES_MAX = 786_432
const NOTHING = new Uint8Array()

/** What a leader says in one turn: said again it is the same, for nobody votes for two. */
type Proposal = {
  readonly turn: string
  readonly type: 'vote/roster' | 'vote/beacon'
  readonly body: Uint8Array
  readonly statement: Statement
  readonly entry: (certificate: CompactCertificate) => readonly [EntryKind, Uint8Array]
}

/** Runs on validators; answers the proposals of others from the moment that it is made. */
export class EpochDriver {
  readonly #times: Required<EpochOptions>
  readonly #ports: EpochPorts
  readonly #reveals: Reveals
  readonly #voter: EpochVoter
  #proposal: Proposal | undefined
  /** The turn whose proposal is in the log, or refused by it. */
  #over = ''

  constructor(options: EpochOptions, ports: EpochPorts) {
    this.#times = { ...TIMES, ...options }
    this.#ports = ports
    this.#reveals = new Reveals(this.#times.revealMs)
    this.#voter = new EpochVoter(this.#times, ports, this.#reveals)
  }

  /** Until the signal aborts. What the world does is tried again in the next turn; anything else is a bug and rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports
    while (!signal.aborted) {
      await this.#step(signal).catch((error: unknown) => {
        if (!(error instanceof FabricError) && !signal.aborted) throw error
      })
      await clock.sleep(this.#times.tickMs, signal).catch(() => {})
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    const { state, clock, key } = this.#ports
    const now = state()
    if (!now.validators.keys.includes(key.peer) || now.genesis.policy.epochMs === 0) return
    this.#reveals.sync(now, clock.nowMs())
    const turn = this.#turnOf(now)
    this.#reveals.turn(turn.name)
    if (now.nextRoster !== null) this.#reveal(now, signal)
    if (turn.leader !== key.peer || turn.name === this.#over) return
    if (this.#proposal?.turn !== turn.name) this.#proposal = await this.#make(now, turn, signal)
    if (this.#proposal !== undefined) await this.#propose(this.#proposal, signal)
  }

  /** Turns are counted by the clock, from the last entry of the epochs: nobody has to be heard for the next one's turn to come. */
  #turnOf(state: LogState): Turn {
    const { epoch, nextRoster } = state
    const sinceMs = Number(nextRoster?.loggedMs ?? epochStart(state, epoch)?.startedMs ?? 0n)
    const attempt = Math.max(0, Math.floor((this.#ports.clock.nowMs() - sinceMs) / this.#times.slotMs))
    const kind = nextRoster === null ? 'roster' : 'beacon'
    return {
      attempt,
      leader: leaderOf(state, attempt),
      name: `${kind}/${epoch + 1n}/${state.validators.hash}/${attempt}`,
    }
  }

  async #make(state: LogState, turn: Turn, signal: AbortSignal): Promise<Proposal | undefined> {
    if (state.nextRoster !== null) return this.#makeBeacon(state, turn, signal)
    const { rosters, membership, clock } = this.#ports
    const current = await rosters.fetch(state.rosterRoot, signal)
    const members = membersSeen(state, membership.sights())
    const due = isEpochDue(state, current ?? { members: [] }, members, clock.nowMs())
    return due ? this.#makeRoster(state, turn, members, signal) : undefined
  }

  /** @returns undefined when too few validators commit: without them nobody would vote */
  async #makeRoster(
    state: LogState,
    turn: Turn,
    members: readonly Member[],
    signal: AbortSignal,
  ): Promise<Proposal | undefined> {
    const { swarmId, validators, head } = state
    const epoch = state.epoch + 1n
    const envelopes = await this.#askCommits(state, signal)
    if (envelopes.filter(({ length }) => length > 0).length < validators.quorum) return undefined
    const commits = validators.keys.map(
      (peer, place) => openCommit(envelopes[place] ?? NOTHING, swarmId, epoch, validators, peer) ?? NOTHING,
    )
    const roster = rosterSnapshot(epoch, members)
    const digest = rosterDigest(swarmId, epoch, roster.root, commitsDigest(commits))
    const { attempt } = turn
    const body = rosterProposalCodec.encode({
      ...{ attempt, headIndex: head.index, roster: encodeRoster(roster), commits: envelopes },
      records: this.#recordsOf(members),
    })
    const subject = numberedSubject(state, 'roster', epoch)
    const fields = { epoch, root: roster.root, commits: commitsDigest(commits), attempt }
    return {
      ...{ turn: turn.name, type: 'vote/roster', body },
      statement: statementOf(state, 'roster', { subject, attempt, index: 0, digest }),
      entry: (certificate) => ['roster', rosterEntryCodec.encode({ ...fields, ...certificate })],
    }
  }

  /** Signed records behind the members, for validators that have not heard of them yet. */
  #recordsOf(members: readonly Member[]): readonly Uint8Array[] {
    const sights = new Map(this.#ports.membership.sights().map((sight) => [sight.peer, sight.envelope]))
    let room = RECORDS_BYTES_MAX
    return members.flatMap(({ peer }) => {
      const envelope = sights.get(peer)
      room -= envelope?.length ?? 0
      return envelope === undefined || room < 0 ? [] : [envelope]
    })
  }

  /** Asks everybody for a commitment. @returns envelopes in the set's order, empty for whoever gives none */
  #askCommits(state: LogState, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const { swarmId, validators: set } = state
    const epoch = state.epoch + 1n
    const body = commitRequestCodec.encode({ epoch })
    return Promise.all(
      set.keys.map(async (peer) => {
        const envelope = (await this.#ask(peer, 'beacon/commit', body, signal)) ?? NOTHING
        return openCommit(envelope, swarmId, epoch, set, peer) === undefined ? NOTHING : envelope
      }),
    )
  }

  /** @returns undefined while somebody may still reveal, or too few have */
  async #makeBeacon(state: LogState, turn: Turn, signal: AbortSignal): Promise<Proposal | undefined> {
    const { clock } = this.#ports
    const terms = beaconTerms(state)
    const commits = await this.#commitsBehind(state, signal)
    if (terms === undefined || commits === undefined) return undefined
    const reveals = this.#revealsFor(terms, commits)
    const forfeits = forfeitsOf(commits, reveals)
    if (forfeits !== 0 && !this.#reveals.overdue(clock.nowMs())) return undefined
    if (reveals.filter(({ length }) => length > 0).length < revealsNeeded(terms.set)) return undefined
    const { epoch } = terms
    const { attempt } = turn
    const beacon = beaconOf(terms, reveals)
    const headIndex = state.head.index
    const digest = beaconDigest(state.swarmId, epoch, beacon, forfeits)
    const subject = numberedSubject(state, 'beacon', epoch)
    const fields = { epoch, beacon, forfeits, attempt }
    return {
      ...{ turn: turn.name, type: 'vote/beacon' },
      body: beaconProposalCodec.encode({ epoch, attempt, headIndex, commits, reveals, forfeits }),
      statement: statementOf(state, 'beacon', { subject, attempt, index: 0, digest }),
      entry: (certificate) => ['beacon', beaconEntryCodec.encode({ ...fields, ...certificate })],
    }
  }

  /** The commitments that the logged roster was certified with; a validator that did not vote for it asks those that did. */
  async #commitsBehind(
    { nextRoster, validators }: LogState,
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[] | undefined> {
    if (nextRoster === null) return undefined
    const { commits: digest } = nextRoster
    const here = this.#voter.commitsOf(digest)
    if (here !== undefined) return here
    const body = commitListRequestCodec.encode({ commits: digest })
    const answers = await Promise.all(validators.keys.map((peer) => this.#ask(peer, 'beacon/commits', body, signal)))
    for (const answer of answers) {
      const decoded = answer === undefined ? undefined : commitListCodec.decode(answer)
      if (decoded?.action === 'accept' && commitsDigest(decoded.value.commits) === digest) return decoded.value.commits
    }
    return undefined
  }

  #revealsFor(terms: BeaconTerms, commits: readonly Uint8Array[]): readonly Uint8Array[] {
    return terms.set.keys.map((peer, place) => {
      const nonce = this.#reveals.parts.get(peer) ?? NOTHING
      return isReveal(terms, peer, commits[place] ?? NOTHING, nonce) ? nonce : NOTHING
    })
  }

  /** Tells everybody this validator's part, again until each has it: now that the members are fixed it helps nobody to know it. */
  #reveal({ swarmId, epoch, validators: set }: LogState, signal: AbortSignal): void {
    const { key } = this.#ports
    const nonce = nonceOf(key, swarmId, epoch + 1n, set)
    this.#reveals.add(key.peer, nonce)
    const body = revealCodec.encode({ epoch: epoch + 1n, nonce })
    for (const peer of set.keys) {
      if (peer === key.peer || this.#reveals.isTold(peer)) continue
      // Told until it turns out otherwise: one request at a time to each.
      this.#reveals.tell(peer, true)
      void this.#ask(peer, 'beacon/reveal', body, signal).then((answer) => {
        if (answer === undefined) this.#reveals.tell(peer, false)
      })
    }
  }

  async #propose({ turn, type, body, statement, entry }: Proposal, signal: AbortSignal): Promise<void> {
    const { transport, state, ledger, onEvidence, onVote, onSplit } = this.#ports
    const { swarmId, validators: set } = state()
    const won = await collectVotes(transport, {
      ...{ swarmId, set, type, body, topics: [{ topic: statement, excluded: [] }] },
      ...{ deadlineMs: this.#times.requestMs, signal, onEvidence, onVote, onSplit },
    })
    if (won?.[0]?.digest !== statement.digest) return
    await ledger.append(...entry(won[0].certificate))
    // Applied, or refused because another leader was first: either way this turn has nothing left to do.
    this.#over = turn
  }

  /** @returns undefined when the peer is silent or refuses: it is one part less */
  async #ask(peer: PeerId, type: string, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { transport } = this.#ports
    try {
      return await transport.request(peer, type, body, { deadlineMs: this.#times.requestMs, signal })
    } catch (error) {
      if (error instanceof FabricError || signal.aborted) return undefined
      throw error
    }
  }
}

type Turn = { readonly attempt: number; readonly leader: PeerId | undefined; readonly name: string }
