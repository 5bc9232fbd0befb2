/** What a validator checks before it votes for a roster or a beacon; everything is computed again from its own log. */
import { toHex } from '../codec/bytes.ts'
import { openAs } from '../identity/envelope.ts'
import type { PeerId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import type { Statement } from '../quorum/vote.ts'
import { newer, type PeerRecord, peerRecordCodec } from '../roster/record.ts'
import { decodeRoster, type Member, type RosterSnapshot } from '../roster/roster.ts'
import { accept, ignore, reject, type Validation } from '../validation.ts'
import { numberedSubject, statementOf } from './authority.ts'
import {
  type BeaconProposal,
  type BeaconTerms,
  beaconOf,
  commitsDigest,
  forfeitsOf,
  isReveal,
  openCommit,
  type RosterProposal,
  revealsNeeded,
} from './beacon.ts'
import { beaconDigest, epochStart, rosterDigest } from './epochs.ts'
import { memberOf, minEpochMs, type Sight } from './members.ts'
import type { LogState } from './state.ts'

export type EpochBench = {
  readonly state: LogState
  /** Who is there, as this validator sees it. */
  readonly sights: ReadonlyMap<PeerId, Sight>
  readonly nowMs: number
}

/** What this validator has seen for so long, others have seen too: before that, a proposer may see it otherwise. */
const SETTLED_MS = 10_000
/** Clocks of honest validators differ by less. */
const SKEW_MS = 2_000

export type JudgedRoster = {
  readonly statement: Statement
  readonly roster: RosterSnapshot
  /** In the set's order, empty for none. */
  readonly commits: readonly Uint8Array[]
}

/** The validator whose turn it is to propose. */
export function leaderOf(state: LogState, attempt: number): PeerId | undefined {
  const { keys } = state.validators
  return keys[Number((state.epoch + 1n + BigInt(attempt)) % BigInt(keys.length))]
}

/** A roster is right when each member is what the log says, nobody is in it that is long gone, and nobody long there is left out. */
export function judgeRoster(bench: EpochBench, proposal: RosterProposal, from: PeerId): Validation<JudgedRoster> {
  const { state } = bench
  const decoded = decodeRoster(proposal.roster)
  if (decoded.action !== 'accept') return decoded
  const roster = decoded.value
  if (state.genesis.policy.epochMs === 0) return ignore('not_for_us')
  if (roster.epoch !== state.epoch + 1n || state.nextRoster !== null || isEarly(bench)) return ignore('stale')
  if (leaderOf(state, proposal.attempt) !== from) return reject('proposal_mismatch', 'leader')
  const records = recordsOf(bench, proposal)
  if (records === undefined) return reject('signature_invalid', 'records')
  const wrong = roster.members.some((member) => !isRight(bench, member, records.get(member.peer)))
  if (wrong) return reject('proposal_mismatch', 'member')
  if (roster.members.length === 0 || leavesOut(bench, roster)) return reject('proposal_mismatch', 'members')
  const commits = commitsOf(state, proposal)
  if (commits === undefined) return reject('proposal_mismatch', 'commits')
  const digest = rosterDigest(state.swarmId, roster.epoch, roster.root, commitsDigest(commits))
  const subject = numberedSubject(state, 'roster', roster.epoch)
  const statement = statementOf(state, 'roster', { subject, attempt: proposal.attempt, index: 0, digest })
  return accept({ statement, roster, commits })
}

function isEarly({ state, nowMs }: EpochBench): boolean {
  const startedMs = Number(epochStart(state, state.epoch)?.startedMs ?? 0n)
  return nowMs - startedMs < minEpochMs(state.genesis.policy.epochMs) - SKEW_MS
}

/** Of each member the newest record among what is known here and what came along: an old one could hide where a peer is now. */
function recordsOf({ state, sights }: EpochBench, { records }: RosterProposal): Map<PeerId, PeerRecord> | undefined {
  const newest = new Map([...sights].map(([peer, { record }]) => [peer, record]))
  // Thousands of signatures would hold this validator up: what gossip has brought is not checked again.
  const checked = new Set([...sights.values()].map(({ envelope }) => toHex(envelope)))
  for (const envelope of records) {
    if (checked.has(toHex(envelope))) continue
    const opened = openAs(peerRecordCodec, envelope, state.swarmId)
    if (opened.action !== 'accept') return undefined
    const { signer, value } = opened.value
    const known = newest.get(signer)
    if (known === undefined || newer(value, known)) newest.set(signer, value)
  }
  return newest
}

function isRight({ state, sights, nowMs }: EpochBench, member: Member, record: PeerRecord | undefined): boolean {
  const expected = record === undefined ? undefined : memberOf(state, member.peer, record)
  if (expected === undefined) return false
  const seen = sights.get(member.peer)
  const gone = (seen?.state === 'dead' || seen?.state === 'left') && nowMs - seen.sinceMs >= SETTLED_MS
  const { weight, roles, owner, block } = expected
  return !gone && member.weight === weight && member.roles === roles && member.owner === owner && member.block === block
}

function leavesOut({ state, sights, nowMs }: EpochBench, { members }: RosterSnapshot): boolean {
  if (members.length === LIMITS.memberCountMax) return false
  const listed = new Set(members.map(({ peer }) => peer))
  return [...sights.values()].some(({ peer, state: seen, sinceMs, record }) => {
    if (listed.has(peer) || seen !== 'alive' || nowMs - sinceMs < SETTLED_MS) return false
    return memberOf(state, peer, record) !== undefined
  })
}

/** @returns undefined unless a quorum has committed, each by its own signature */
function commitsOf(state: LogState, { commits }: RosterProposal): readonly Uint8Array[] | undefined {
  const { swarmId, validators: set } = state
  if (commits.length !== set.keys.length) return undefined
  const opened = set.keys.map((peer, place) => {
    const envelope = commits[place] ?? new Uint8Array()
    return envelope.length === 0 ? envelope : openCommit(envelope, swarmId, state.epoch + 1n, set, peer)
  })
  const sound = opened.filter((commit) => commit !== undefined)
  const given = sound.filter((commit) => commit.length > 0).length
  return sound.length === opened.length && given >= set.quorum ? sound : undefined
}

export type BeaconBench = {
  readonly state: LogState
  /** What validators have revealed to this one. */
  readonly revealed: ReadonlyMap<PeerId, Uint8Array>
  /** Whether the time to reveal is over, by this validator's own clock. */
  readonly overdue: boolean
}

export function beaconTerms(state: LogState): BeaconTerms | undefined {
  const { swarmId, validators: set, beacon: previous, nextRoster } = state
  return nextRoster === null
    ? undefined
    : { swarmId, epoch: state.epoch + 1n, set, previous, rosterRoot: nextRoster.root }
}

/** A beacon is right when it follows from reveals that fit the commitments, and who is said to be silent has been, here too. */
export function judgeBeacon(bench: BeaconBench, proposal: BeaconProposal, from: PeerId): Validation<Statement> {
  const { state, revealed, overdue } = bench
  const { nextRoster, validators: set } = state
  const terms = beaconTerms(state)
  if (terms === undefined || nextRoster === null || proposal.epoch !== terms.epoch) return ignore('stale')
  if (leaderOf(state, proposal.attempt) !== from) return reject('proposal_mismatch', 'leader')
  const { commits, reveals, forfeits, attempt } = proposal
  if (commits.length !== set.keys.length || commitsDigest(commits) !== nextRoster.commits)
    return reject('proposal_mismatch', 'commits')
  if (!areReveals(terms, commits, reveals)) return reject('proposal_mismatch', 'reveals')
  if (forfeits !== forfeitsOf(commits, reveals)) return reject('proposal_mismatch', 'forfeits')
  if (forfeits !== 0 && !overdue) return ignore('stale')
  // Whoever revealed to this validator is not silent: a leader may not drop a part that it does not like.
  const dropped = set.keys.some((peer, place) => {
    const nonce = revealed.get(peer)
    const isForfeit = (forfeits & (1 << place)) !== 0
    return isForfeit && nonce !== undefined && isReveal(terms, peer, commits[place] ?? nonce, nonce)
  })
  if (dropped) return reject('proposal_mismatch', 'forfeits')
  const digest = beaconDigest(state.swarmId, terms.epoch, beaconOf(terms, reveals), forfeits)
  const subject = numberedSubject(state, 'beacon', terms.epoch)
  return accept(statementOf(state, 'beacon', { subject, attempt, index: 0, digest }))
}

function areReveals(terms: BeaconTerms, commits: readonly Uint8Array[], reveals: readonly Uint8Array[]): boolean {
  const { keys } = terms.set
  if (reveals.length !== keys.length) return false
  const fitting = keys.every((peer, place) => {
    const [commit, nonce] = [commits[place], reveals[place]]
    return commit !== undefined && nonce !== undefined && (nonce.length === 0 || isReveal(terms, peer, commit, nonce))
  })
  return fitting && reveals.filter((nonce) => nonce.length > 0).length >= revealsNeeded(terms.set)
}
