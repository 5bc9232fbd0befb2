/** What the log knows of each peer that was let in, and the weight that follows from it: nothing a peer says of itself counts here. */
import { type Digest, digestOf, keyOf, type PeerId, type UserId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { addEvidence } from '../verification/cusum.ts'
import { type Finding, METHOD } from '../verification/finding.ts'
import type { Genesis } from './genesis.ts'
import type { LogState } from './state.ts'

export type Standing = {
  /** Peers of one owner count as one witness. */
  readonly owner: Digest
  /** The key that the peer's invite was spent for; null for a member of the genesis. */
  readonly user: UserId | null
  readonly joinedEpoch: bigint
  /** Weight before it has done anything: the genesis's, or JOINED_WEIGHT. */
  readonly base: number
  /** Certified findings about its replicas. */
  readonly passed: number
  readonly failed: number
  /** Replicas that it took and never handed in. */
  readonly lost: number
  /** Beacons that it committed to and did not reveal for. */
  readonly forfeits: number
  /** It signed two digests for one subject. */
  readonly equivocated: boolean
  /** Its weight when the epoch of its last change began, and whether it audited nothing then. */
  readonly settled: { readonly epoch: bigint; readonly weight: number; readonly barred: boolean }
  /** Findings that passed and that failed, in 1024ths, the older the less: a fiftieth is forgotten with each that comes. */
  readonly good: number
  readonly bad: number
  /** So many more findings every output is audited. */
  readonly watch: number
  /** What its audited outputs say against it together (cusum.ts), millionths of a nat. */
  readonly evidenceMicro: number
  /** Reports of its own that two others contradicted, in 1024ths: a fiftieth is forgotten with each that others bear out. */
  readonly outvoted: number
}

export const JOINED_WEIGHT = 8
/** Passed findings that one fault must be weighed against before a peer has any. */
const PRIOR_PASSED = 8
const COUNT_MAX = 0xffff_ffff
/** What a fault costs, in passed findings: an answer that is wrong weighs more than one that never came. */
const FAULT = { failed: 8, lost: 2, forfeits: 8, outvoted: 8 } as const
const WEIGHT_PER_DOUBLING = 4

/** Findings of a new peer whose outputs are all audited: an identity that was slashed and comes back as another begins again. */
const WATCH_NEW = 50
/** As many more after a doubt. */
const WATCH_DOUBT = 20
/** Faults that an upheld dispute counts as. */
const CONDEMNED_FAULTS = 4
const ONE = 1_024
/**
 * So often outvoted, and a peer audits nothing and weighs a part of what it would.
 *
 * Why three within a short time and not one: two that lie together outvote an honest third, and engines that nobody calibrated differ.
 */
const BARRED = 2.5 * ONE
const BARRED_SHARE = 4
/** Of ONE: 0.98. */
const KEPT = 1_003
/** One-sided 5 % of a normal distribution. */
const Z_LOW = 1.645
/** Share of sound work, at least, that halves the rate of audits, and the one that does not double it. */
const TRUSTED = 0.93
const USUAL = 0.85
/** Whoever is never audited need not be honest. */
const AUDIT_PERMILLE_MIN = 20
const PERMILLE = 1_000

/**
 * Draws per job that a standing is worth: more with the logarithm of what passed, less with the share of faults.
 *
 * Why the logarithm: work attracts work, and a peer that was here first must not take all of it.
 *
 * @returns  1 to LIMITS.rendezvousWeightMax; 0 for a peer that equivocated, which is not eligible
 */
export function weightOf(standing: Standing): number {
  const { base, passed, failed, lost, forfeits, equivocated, outvoted } = standing
  if (equivocated) return 0
  const doublings = 32 - Math.clz32(passed)
  const earned = Math.min(LIMITS.rendezvousWeightMax, base + WEIGHT_PER_DOUBLING * doublings)
  const marks = Math.floor((FAULT.outvoted * outvoted) / ONE)
  const faults = FAULT.failed * failed + FAULT.lost * lost + FAULT.forfeits * forfeits + marks
  const known = passed + PRIOR_PASSED
  const share = isBarred(standing) ? BARRED_SHARE : 1
  return Math.max(1, Math.floor((earned * known) / (known + faults) / share))
}

/** Whether others have contradicted so many of its reports that nobody should ask it for one. */
export function isBarred({ outvoted }: Pick<Standing, 'outvoted'>): boolean {
  return outvoted >= BARRED
}

/**
 * How many of a thousand outputs of a peer are audited.
 *
 * Why the lower bound: few good findings are no proof of honesty. It is the 5 % quantile of Beta(1 + good, 1 + bad) in its normal
 * approximation; sums, products, quotients and roots of doubles are the same on every machine.
 *
 * @param standing  undefined for a peer that nobody let in
 * @returns  0 only where the genesis audits nothing
 * @see      docs/PROTOCOL.md#epochs-and-standing
 */
export function auditPermilleOf(standing: Standing | undefined, { auditPermille }: Genesis['policy']): number {
  if (auditPermille === 0) return 0
  if (standing === undefined || standing.watch > 0) return PERMILLE
  const [a, b] = [1 + standing.good / ONE, 1 + standing.bad / ONE]
  const mean = a / (a + b)
  const low = mean - Z_LOW * Math.sqrt((mean * (1 - mean)) / (a + b + 1))
  const rate = low >= TRUSTED ? auditPermille / 2 : low >= USUAL ? auditPermille : auditPermille * 2
  return Math.min(PERMILLE, Math.max(AUDIT_PERMILLE_MIN, Math.floor(rate)))
}

/**
 * The weight in the roster after this epoch: as it was when the epoch began.
 *
 * Why not the newest: findings come all the time, and validators that are a few entries apart would never agree on a roster.
 */
export function rosterWeightOf(standing: Standing, epoch: bigint): number {
  if (standing.equivocated) return 0
  return standing.settled.epoch === epoch ? standing.settled.weight : weightOf(standing)
}

/** Whether it audits nothing under the roster after this epoch: as it was when the epoch began, as its weight is. */
export function isRosterBarred(standing: Standing, epoch: bigint): boolean {
  return standing.settled.epoch === epoch ? standing.settled.barred : isBarred(standing)
}

/** @returns undefined for a peer that neither the genesis nor the log has let in */
export function standingOf(state: LogState, peer: PeerId): Standing | undefined {
  return state.peers.get(peer) ?? genesisStanding(state, peer)
}

export function isAdmitted(state: LogState, peer: PeerId): boolean {
  return standingOf(state, peer) !== undefined
}

/** Who owns a peer: the genesis or its invite says; a peer that nobody let in owns itself. */
export function ownerOf(state: LogState, peer: PeerId): Digest {
  return standingOf(state, peer)?.owner ?? ownerNamed(peer)
}

/** The owner that a user's key stands for. */
export function ownerNamed(user: UserId): Digest {
  return digestOf(keyOf(user))
}

/** A standing that nothing has happened to yet. */
export function freshStanding(parts: Pick<Standing, 'owner' | 'user' | 'joinedEpoch' | 'base'>): Standing {
  const settled = { epoch: parts.joinedEpoch, weight: parts.base, barred: false }
  const counts = { passed: 0, failed: 0, lost: 0, forfeits: 0, good: 0, bad: 0, watch: WATCH_NEW, evidenceMicro: 0 }
  return { ...parts, ...counts, outvoted: 0, equivocated: false, settled }
}

/** Members and validators of the genesis: known before the first entry, so that a receipt can be checked without the log. */
export function genesisStanding({ genesis }: LogState, peer: PeerId): Standing | undefined {
  const member = genesis.members.find((one) => one.peer === peer)
  if (member === undefined && !genesis.validators.includes(peer)) return undefined
  const { owner, weight } = member ?? { owner: ownerNamed(peer), weight: JOINED_WEIGHT }
  return freshStanding({ owner, user: null, joinedEpoch: 0n, base: weight })
}

type Tally = 'passed' | 'failed' | 'lost' | 'forfeits'

/** Counts one more of something; a peer that nobody let in has no standing to change. */
export function count(state: LogState, peer: PeerId, tally: Tally): void {
  change(state, peer, (standing) => ({ [tally]: Math.min(COUNT_MAX, standing[tally] + 1) }))
}

/**
 * Notes a finding for the rate of audits: an audit that doubts puts its worker under watch, and so do many that doubt a little.
 *
 * Why the sum does no more: honest hardware that calibration never saw may reach it too.
 */
export function watch(state: LogState, { worker, verdict, methods, evidenceMicro }: Finding): void {
  change(state, worker, ({ good, bad, watch: left, evidenceMicro: sumMicro, outvoted }) => {
    const sum = addEvidence({ sumMicro, alarms: 0 }, evidenceMicro)
    const isDoubt = (methods & METHOD.prefill) !== 0 && (verdict === 'fail' || verdict === 'suspect')
    const doubted = isDoubt || sum.alarms > 0
    return {
      good: kept(good) + (verdict === 'pass' ? ONE : 0),
      bad: kept(bad) + (verdict === 'fail' ? ONE : 0),
      watch: Math.max(left - 1, doubted ? WATCH_DOUBT : 0, 0),
      evidenceMicro: sum.sumMicro,
      // Nobody asks a barred one for reports: what it computes is how it comes back.
      outvoted: isBarred({ outvoted }) && verdict === 'pass' ? kept(outvoted) : outvoted,
    }
  })
}

/** What is left of a count when one more comes. */
function kept(counted: number): number {
  return Math.floor((counted * KEPT) / ONE)
}

/**
 * Notes whose reports others bore out and whose they contradicted.
 *
 * Why the outvoted is watched: it may have lied for a worker, or for itself next.
 */
export function weighAuditors(state: LogState, { auditors, outvoted }: Pick<Finding, 'auditors' | 'outvoted'>): void {
  if (auditors.length > 1)
    for (const auditor of auditors) change(state, auditor, ({ outvoted: marks }) => ({ outvoted: kept(marks) }))
  for (const auditor of outvoted) markAuditor(state, auditor)
}

/** Two other auditors, or referees, found what contradicts its report. */
export function markAuditor(state: LogState, auditor: PeerId): void {
  change(state, auditor, ({ outvoted, watch: left }) => ({
    outvoted: kept(outvoted) + ONE,
    watch: Math.max(left, WATCH_DOUBT),
  }))
}

/** Referees have found wrong what a peer handed in: as bad as several faults, and all that it does next is audited. */
export function condemn(state: LogState, peer: PeerId): void {
  change(state, peer, ({ failed, bad }) => ({
    failed: Math.min(COUNT_MAX, failed + CONDEMNED_FAULTS),
    bad: bad + CONDEMNED_FAULTS * ONE,
    watch: WATCH_NEW,
  }))
}

/** Referees have found sound what auditors had failed or doubted. @param failed  it was counted as a fault */
export function acquit(state: LogState, peer: PeerId, failed: boolean): void {
  change(state, peer, (standing) => ({
    passed: Math.min(COUNT_MAX, standing.passed + 1),
    good: standing.good + ONE,
    ...(failed ? { failed: Math.max(0, standing.failed - 1), bad: Math.max(0, standing.bad - ONE) } : {}),
  }))
}

export function markEquivocated(state: LogState, peer: PeerId): void {
  change(state, peer, () => ({ equivocated: true }))
}

function change(state: LogState, peer: PeerId, parts: (standing: Standing) => Partial<Standing>): void {
  const standing = standingOf(state, peer)
  if (standing === undefined) return
  const { epoch } = state
  const settled =
    standing.settled.epoch === epoch
      ? standing.settled
      : { epoch, weight: weightOf(standing), barred: isBarred(standing) }
  state.peers.set(peer, { ...standing, ...parts(standing), settled })
}
