/**
 * The report of a prefill audit (L2): what one auditor found when it fed a claimed output to the model again, in few numbers that
 * others can compare, with samples that only somebody who ran the model can know.
 *
 * @see docs/PROTOCOL.md#audits
 */
import { domainHash, sha256 } from '#core/hash'
import { u16be, u32be } from '../codec/bytes.ts'
import {
  type BodyOf,
  bytes,
  code,
  defineBody,
  digest,
  list,
  peer,
  record,
  text,
  u8,
  u16,
  u32,
} from '../codec/schema.ts'
import { type Digest, digestBytes, digestOf, type SwarmId } from '../ids.ts'
import { REPORTS_MAX } from './auditing.ts'
import { VERDICTS } from './finding.ts'
import { OUTSIDE_MARGIN_NATS } from './margin.ts'

/** One output position under the auditor's own forward pass. */
export type AuditedPosition = {
  /** Nats, 0 to OUTSIDE_MARGIN_NATS. */
  readonly margin: number
  readonly rank: number
  /** The auditor's candidates by logit, best first. */
  readonly topIds: ArrayLike<number>
  readonly topLogits: ArrayLike<number>
}

export const WORST_MAX = 16
const PROBES_MAX = 16
const SALT_BYTES = 32
const MICRO = 1_000_000
/** Margins and gaps travel in 256ths of a nat. */
const STEPS_PER_NAT = 256
const STEPS_MAX = 0xffff
/** S1 clips what one position may add, so that it measures many small losses; a single large one is S3's. */
const CLIP_NATS = 3
/** S2 counts positions that lose more than this. */
const OVER_NATS = 0.3

export const auditCodec = defineBody(
  'audit',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    worker: peer(),
    /** Of the commitment whose output was audited. */
    commitmentHash: digest(),
    /** Of the thresholds behind the verdict; 32 zero bytes without any. */
    policyId: digest(),
    /** The auditor's. */
    engineId: text(96),
    positions: u32(),
    /** S1: mean of the margins, each clipped at 3 nats, in millionths of a nat. */
    meanMicro: u32(),
    /** S2: positions that lose more than 0.3 nats. */
    overCount: u32(),
    /** S3: the largest margin, in millionths of a nat. */
    worstMicro: u32(),
    /** S4: tokens that could not have been picked. */
    outsideCount: u32(),
    /** S5: the margin of the last token, which ended the output. */
    stopMicro: u32(),
    /** Merkle root of all margins: a dispute finds the first one that two auditors disagree about. */
    marginRoot: digest(),
    /** The largest margins above 0, by position; `best` is the token that the auditor would have picked by logit alone. */
    worst: list(record({ position: u32(), margin256: u16(), claimed: u32(), best: u32() }), WORST_MAX),
    /** At positions that nobody knew before: gaps from the best logit to the second and to the claimed one. */
    probes: list(record({ position: u32(), topId: u32(), gap256: u16(), claimedGap256: u16() }), PROBES_MAX),
    verdict: code(VERDICTS),
    replayMs: u32(),
    /** Of the text that the auditor's tokenizer makes of the ids: whoever shows another text with them has lied to the client. */
    textDigest: digest(),
    /** Nobody else knows it before the report is shown: few verdicts are possible, and all could be tried. */
    salt: bytes(SALT_BYTES),
    /** Commits of other auditors that this one was given before it showed its report: none of them can have copied it. */
    others: list(digest(), REPORTS_MAX - 1),
  },
  1_536,
)
export type AuditReport = BodyOf<typeof auditCodec>
export type Probe = AuditReport['probes'][number]
export type WorstPosition = AuditReport['worst'][number]

/** What an auditor binds itself to before it has seen another's report. */
export const auditCommitCodec = defineBody(
  'audit-commit',
  { jobId: digest(), attempt: u32(), replica: u8(), commit: digest() },
  128,
)

/** Names a report as it is before its auditor knows of others. */
export function auditCommit(swarmId: SwarmId, report: AuditReport): Digest {
  const body = auditCodec.encode({ ...report, others: [] })
  return digestOf(domainHash('audit-commitment', digestBytes(auditCodec.digest(swarmId, body))))
}

export type AuditStatistics = Pick<
  AuditReport,
  'positions' | 'meanMicro' | 'overCount' | 'worstMicro' | 'outsideCount' | 'stopMicro' | 'marginRoot' | 'worst'
>

/** @param claimed  the output's ids, one for each position */
export function statisticsOf(positions: readonly AuditedPosition[], claimed: ArrayLike<number>): AuditStatistics {
  const margins = positions.map(({ margin }) => margin)
  const clipped = margins.reduce((sum, margin) => sum + Math.min(margin, CLIP_NATS), 0)
  return {
    positions: margins.length,
    meanMicro: margins.length === 0 ? 0 : microOf(clipped / margins.length),
    overCount: margins.filter((margin) => margin > OVER_NATS).length,
    worstMicro: microOf(margins.reduce((most, margin) => Math.max(most, margin), 0)),
    outsideCount: margins.filter((margin) => margin >= OUTSIDE_MARGIN_NATS).length,
    stopMicro: microOf(margins.at(-1) ?? 0),
    marginRoot: marginRoot(margins),
    worst: worstOf(positions, claimed),
  }
}

function worstOf(positions: readonly AuditedPosition[], claimed: ArrayLike<number>): readonly WorstPosition[] {
  return positions
    .map(({ margin, topIds }, position) => ({
      ...{ position, margin256: stepsOf(margin), claimed: claimed[position] ?? 0, best: topIds[0] ?? 0 },
    }))
    .filter(({ margin256 }) => margin256 > 0)
    .sort((a, b) => b.margin256 - a.margin256 || a.position - b.position)
    .slice(0, WORST_MAX)
    .sort((a, b) => a.position - b.position)
}

function microOf(nats: number): number {
  return Math.round(nats * MICRO)
}

/** Nats as 256ths, at most what 16 bits hold. */
export function stepsOf(nats: number): number {
  return Math.min(STEPS_MAX, Math.max(0, Math.round(nats * STEPS_PER_NAT)))
}

const LEAF_MARGINS = 32
const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)

/** Hashes margins into a Merkle tree shaped as that of the tokens: leaf i is H(0x00 || u32be(i) || 32 margins as u16be 256ths). */
export function marginRoot(margins: readonly number[]): Digest {
  const leaves = marginLeaves(margins)
  let level = leaves.length === 0 ? [domainHash('margins-empty')] : leaves
  while (level.length > 1) level = marginParents(level)
  return digestOf(level[0] ?? new Uint8Array(32))
}

export function marginLeaves(margins: readonly number[]): readonly Uint8Array[] {
  const leaves: Uint8Array[] = []
  for (let start = 0; start < margins.length; start += LEAF_MARGINS) {
    const steps = margins.slice(start, start + LEAF_MARGINS).map((margin) => u16be(stepsOf(margin)))
    leaves.push(sha256(LEAF, u32be(start / LEAF_MARGINS), ...steps))
  }
  return leaves
}

/** The level above; an odd last node moves up as it is. */
export function marginParents(level: readonly Uint8Array[]): readonly Uint8Array[] {
  const above: Uint8Array[] = []
  for (let at = 0; at < level.length; at += 2) {
    const [left, right] = [level[at], level[at + 1]]
    if (left !== undefined) above.push(right === undefined ? left : sha256(NODE, left, right))
  }
  return above
}

/**
 * Positions whose logits a report must show, from the audit beacon: nobody knows them before the output is fixed.
 *
 * @returns  ascending and distinct, at most 16
 */
export function probePositions(beacon: Digest, replica: number, positionCount: number): readonly number[] {
  if (positionCount <= PROBES_MAX) return Array.from({ length: positionCount }, (_, position) => position)
  const found = new Set<number>()
  for (let draw = 0; found.size < PROBES_MAX; draw += 1) {
    const hash = domainHash('audit-probe', digestBytes(beacon), Uint8Array.of(replica), u32be(draw))
    found.add(new DataView(hash.buffer, hash.byteOffset).getUint32(0) % positionCount)
  }
  return [...found].sort((a, b) => a - b)
}

/** @param at  of `probePositions` */
export function probesOf(
  positions: readonly AuditedPosition[],
  at: readonly number[],
  claimed: ArrayLike<number>,
): readonly Probe[] {
  return at.flatMap((position) => {
    const found = positions[position]
    if (found === undefined) return []
    const { topIds, topLogits } = found
    const [best, second] = [topLogits[0] ?? 0, topLogits[1] ?? 0]
    const place = Array.from(topIds).indexOf(claimed[position] ?? -1)
    const claimedGap256 = place < 0 ? STEPS_MAX : stepsOf(best - (topLogits[place] ?? 0))
    return [{ position, topId: topIds[0] ?? 0, gap256: stepsOf(best - second), claimedGap256 }]
  })
}

/**
 * Two honest machines differ by no more than this in the middle one of their gaps; of few gaps the middle one may be an extreme.
 *
 * @see docs/VERIFICATION.md#auditors  where the counts are
 */
const PROBE_TOLERANCE_STEPS = STEPS_PER_NAT / 4
const FEW_PROBES = 4
const FEW_TOLERANCE_STEPS = STEPS_PER_NAT / 2

/**
 * How far apart two auditors' probes are: the median difference of their gaps, best to second. Where they name another best token, it is
 * what both gaps add up to: that much at least has moved between the two tokens.
 *
 * @returns  256ths of a nat; undefined when they show other positions, or none
 */
export function probeDistance(one: readonly Probe[], other: readonly Probe[]): number | undefined {
  const there = new Map(other.map((probe) => [probe.position, probe]))
  const differences = one.flatMap(({ position, topId, gap256 }) => {
    const probe = there.get(position)
    if (probe === undefined) return []
    return [topId === probe.topId ? Math.abs(gap256 - probe.gap256) : gap256 + probe.gap256]
  })
  if (differences.length < Math.max(one.length, other.length)) return undefined
  return differences.sort((a, b) => a - b)[differences.length >> 1]
}

/** Whether two auditors looked at the same logits. Whoever did not run the model has to guess them. */
export function probesAgree(one: readonly Probe[], other: readonly Probe[]): boolean {
  const distance = probeDistance(one, other)
  const tolerance = one.length > FEW_PROBES ? PROBE_TOLERANCE_STEPS : FEW_TOLERANCE_STEPS
  return distance !== undefined && distance <= tolerance
}
