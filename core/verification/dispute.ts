/**
 * Disputes (L4): who recomputes a replica that somebody does not agree about, what they sign, and what follows from their votes.
 *
 * Why the hash of the dispute's own log entry draws them: whoever opens one cannot know it beforehand, and so cannot choose its judges.
 *
 * @see docs/PROTOCOL.md#disputes
 */
import { type BodyOf, code, defineBody, digest, text, u8, u32 } from '../codec/schema.ts'
import type { Digest, PeerId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { type Member, ROLE, type RosterSnapshot } from '../roster/roster.ts'
import { type Caps, draw } from '../selection/committee.ts'
import { VERDICTS } from './finding.ts'

export const REFEREE_LIMITS = { countMin: 3, countMax: 7 } as const

/** What the opener says of a replica's finding. `reject`: it must not stand as sound. `accept`: it was failed wrongly. */
export const DISPUTE_CLAIMS = ['reject', 'accept'] as const
export type DisputeClaim = (typeof DISPUTE_CLAIMS)[number]

export const DISPUTE_OUTCOMES = ['upheld', 'rejected', 'inconclusive'] as const
export type DisputeOutcome = (typeof DISPUTE_OUTCOMES)[number]

/** What one referee found when it computed the replica's output again, alone and in the canonical configuration. */
export const refereeVoteCodec = defineBody(
  'referee-vote',
  {
    jobId: digest(),
    /** Hash of the dispute's log entry: a vote counts in no other. */
    dispute: digest(),
    replica: u8(),
    /** Of the output that was computed again; 32 zero bytes when the worker committed to nothing. */
    commitmentHash: digest(),
    /** Of the thresholds behind the verdict; 32 zero bytes without any. */
    policyId: digest(),
    engineId: text(96),
    /** Statistics as in an audit; all zero when no model was asked. */
    positions: u32(),
    meanMicro: u32(),
    worstMicro: u32(),
    outsideCount: u32(),
    stopMicro: u32(),
    marginRoot: digest(),
    verdict: code(VERDICTS),
    /** A StructureFault, `no_model`, `no_policy`, `not_replayable`, or `none`. */
    reason: text(32),
  },
  384,
)
export type RefereeVote = BodyOf<typeof refereeVoteCodec>

export type RefereeDraw = {
  /** Of the job's epoch. */
  readonly roster: RosterSnapshot
  readonly beacon: Digest
  /** Hash of the dispute's log entry. */
  readonly disputeHash: Digest
  readonly caps: Caps
  /** The job's workers, auditors and edge, and whoever opened the dispute. */
  readonly parties: readonly PeerId[]
  /** Owners beyond those of the parties: of the user that paid. */
  readonly owners: readonly Digest[]
}

/**
 * Draws the referees of a dispute; anyone with the roster draws the same.
 *
 * Why validators come last: they certify what follows from the votes, and should not have to certify their own.
 *
 * @returns 3 to 7 in rank order; none when fewer than 3 are independent of the job
 */
export function refereesFor({ roster, beacon, disputeHash, caps, parties, owners }: RefereeDraw): readonly PeerId[] {
  const involved = new Set(parties)
  const theirs = new Set([
    ...owners,
    ...roster.members.filter(({ peer }) => involved.has(peer)).map(({ owner }) => owner),
  ])
  const drawn = draw({
    ...{ roster, beacon, holdHash: disputeHash, replicas: REFEREE_LIMITS.countMax, spares: 0, caps },
    eligible: ({ peer, owner, roles }) => !involved.has(peer) && !theirs.has(owner) && mayReferee(roles),
    preferred: judgesNothingElse,
  })
  return drawn.length < REFEREE_LIMITS.countMin ? [] : drawn
}

/** An edge alone has no model. */
function mayReferee(roles: number): boolean {
  return (roles & (ROLE.worker | ROLE.validator)) !== 0
}

function judgesNothingElse({ roles }: Member): boolean {
  return (roles & ROLE.validator) === 0
}

/** @param benchCount  3 to 7 referees that did not abstain */
export function votesNeeded(benchCount: number): number {
  invariant(benchCount >= REFEREE_LIMITS.countMin && benchCount <= REFEREE_LIMITS.countMax, 'a bench has 3 to 7')
  if (benchCount <= 4) return 3
  return benchCount <= 6 ? 4 : 5
}

export type DisputeVerdict = {
  readonly outcome: DisputeOutcome
  /** `decided`; else why it is inconclusive. */
  readonly why: 'decided' | 'too_few' | 'no_quorum' | 'spread'
}

/** Votes of one side lie together: within this, or within a quarter of their median, in millionths of a nat. */
const BAND_MICRO = 50_000
const BAND_SHARE = 4

/**
 * Says what follows from the votes.
 *
 * Why an abstention shrinks the bench and silence does not: who abstains signs that, while silence may be somebody else's doing.
 * Abstaining never wins a coalition what its votes would not.
 *
 * @param drawn  as `refereesFor` gave them
 * @param votes  by referee; of anybody else they do not count
 */
export function disputeVerdict(
  claim: DisputeClaim,
  drawn: readonly PeerId[],
  votes: ReadonlyMap<PeerId, Pick<RefereeVote, 'verdict' | 'meanMicro'>>,
): DisputeVerdict {
  const bench = drawn.filter((peer) => votes.get(peer)?.verdict !== 'abstain')
  if (bench.length < REFEREE_LIMITS.countMin) return { outcome: 'inconclusive', why: 'too_few' }
  const needed = votesNeeded(bench.length)
  for (const verdict of ['fail', 'pass'] as const) {
    const means = bench.flatMap((peer) => {
      const vote = votes.get(peer)
      return vote?.verdict === verdict ? [vote.meanMicro] : []
    })
    if (means.length < needed) continue
    if (together(means) < needed) return { outcome: 'inconclusive', why: 'spread' }
    const borneOut = (verdict === 'fail') === (claim === 'reject')
    return { outcome: borneOut ? 'upheld' : 'rejected', why: 'decided' }
  }
  return { outcome: 'inconclusive', why: 'no_quorum' }
}

/** How many lie near the middle one: referees that computed the same thing do. */
function together(means: readonly number[]): number {
  const median = means.toSorted((a, b) => a - b)[means.length >> 1] ?? 0
  return means.filter((mean) => isWithinBand(mean, median)).length
}

/** Whether two means of margins, in millionths of a nat, may be of one output under one model on two machines. */
export function isWithinBand(mean: number, other: number): boolean {
  return Math.abs(mean - other) <= Math.max(BAND_MICRO, Math.floor(other / BAND_SHARE))
}
