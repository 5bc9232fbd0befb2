/** Who audits in the market: honest workers as a rule, and some that do not look, lie together, or accuse everybody. */
import { domainHash } from '#core/hash'
import { u32be } from '../../../core/codec/bytes.ts'
import { digestOf, type PeerId } from '../../../core/ids.ts'
import { isBarred, standingOf, weightOf } from '../../../core/log/standing.ts'
import type { LogState } from '../../../core/log/state.ts'
import { type Panel, panelOf, reportsMissing, type Said } from '../../../core/verification/panel.ts'
import type { Prng } from '../prng.ts'

/**
 * `lazy`: passes everything, with probes that it makes up. `colludes`: the same, with probes that all of its kind make up alike.
 * `malicious`: computes and fails everything.
 */
export const AUDITOR_KINDS = ['honest', 'lazy', 'colludes', 'malicious'] as const
export type AuditorKind = (typeof AUDITOR_KINDS)[number]

export type Auditor = {
  readonly kind: AuditorKind
  peer: PeerId
  audits: number
  outvoted: number
  /** In units of the price of what it audited. */
  paid: number
  /** Audits before nobody asked it any more; null: that never was. */
  barredAfter: number | null
}

/** In units of the price: an audit costs about as much as the answer did (docs/CALIBRATION.md), a guess nothing. */
export const AUDIT_COST = 0.6

const FALSE_PERMILLION = 1_000
const WAY = 1e6
const POSITION = 0
const SEEN_256 = 1_000
const AGREED_LIE_256 = 20_000
const LIES = 16
const LIE_STEP_256 = 1_000

export type Asked = {
  readonly state: LogState
  readonly prng: Prng
  readonly members: readonly Auditor[]
  /** Workers of the job. */
  readonly involved: readonly PeerId[]
  /** Whoever computes the output finds it wrong. */
  readonly isSeen: boolean
  readonly isPanel: boolean
}

/** Reports on one class of outputs, as the rules ask for them, and what they say together. */
export function hearAuditors(asked: Asked): { readonly panel: Panel; readonly auditors: readonly Auditor[] } {
  const { isPanel } = asked
  const auditors: Auditor[] = []
  const said: Said[] = []
  for (;;) {
    const missing = reportsMissing(said, isPanel)
    const round = drawAuditors(asked, missing, auditors)
    if (round.length === 0) break
    for (const auditor of round) said.push(reportOf(auditor, asked, said.length))
    auditors.push(...round)
    if (isPanel) break
  }
  const commits = said.map(({ commit }) => commit)
  const panel = panelOf(
    said.map((one) => ({ ...one, others: commits.filter((commit) => commit !== one.commit) })),
    isPanel,
  )
  for (const [place, auditor] of auditors.entries()) {
    auditor.audits += 1
    if (panel.outvoted.includes(place)) auditor.outvoted += 1
  }
  return { panel, auditors }
}

/** Notes who is barred by now. */
export function noteBarred({ state }: Pick<Asked, 'state'>, auditors: readonly Auditor[]): void {
  for (const auditor of auditors) {
    const standing = standingOf(state, auditor.peer)
    if (standing !== undefined && isBarred(standing)) auditor.barredAfter ??= auditor.audits
  }
}

/** By weight, nobody twice, none of the job, none that is barred. */
function drawAuditors({ state, prng, members, involved }: Asked, count: number, earlier: readonly Auditor[]) {
  const left = members.flatMap((member) => {
    const standing = standingOf(state, member.peer)
    const isOut = earlier.includes(member) || involved.includes(member.peer)
    return standing === undefined || isOut || isBarred(standing) ? [] : [{ member, weight: weightOf(standing) }]
  })
  const drawn: Auditor[] = []
  while (drawn.length < count && left.length > 0) {
    let lot = (prng.next() / 2 ** 32) * left.reduce((sum, { weight }) => sum + weight, 0)
    const place = left.findIndex(({ weight }) => {
      lot -= weight
      return lot < 0
    })
    const [chosen] = left.splice(Math.max(0, place), 1)
    if (chosen !== undefined) drawn.push(chosen.member)
  }
  return drawn
}

/** What is wrong with an output is in the output: all who look see it, or none does; a false alarm is of one machine. */
function reportOf({ kind }: Auditor, { prng, isSeen }: Asked, place: number): Said {
  const doubts = isSeen || prng.below(WAY) < FALSE_PERMILLION
  const verdict = kind === 'malicious' || (kind === 'honest' && doubts) ? 'fail' : 'pass'
  const gap256 = kind === 'lazy' ? lieOf(prng) : kind === 'colludes' ? AGREED_LIE_256 : SEEN_256
  const probes = [{ position: POSITION, topId: 0, gap256, claimedGap256: 0 }]
  return { verdict, probes, commit: digestOf(domainHash('market-commit', u32be(place))), others: [] }
}

/** Some lies meet by chance; the truth is hit as rarely. */
function lieOf(prng: Prng): number {
  return SEEN_256 + LIE_STEP_256 * prng.between(1, LIES)
}

/** So many of a thousand of the members are of each kind. */
export type AuditorShares = {
  readonly lazyPermille: number
  readonly colludingPermille: number
  readonly maliciousPermille: number
}

/** @param place  of a member; @param count  of all of them */
export function auditorKindAt(place: number, count: number, shares: AuditorShares): AuditorKind {
  const { lazyPermille, colludingPermille, maliciousPermille } = shares
  const at = (1_000 * (place + 0.5)) / count
  if (at < lazyPermille) return 'lazy'
  if (at < lazyPermille + colludingPermille) return 'colludes'
  return at < lazyPermille + colludingPermille + maliciousPermille ? 'malicious' : 'honest'
}

export type AuditorReport = {
  readonly kind: AuditorKind
  readonly members: number
  /** Per member. */
  readonly audits: number
  readonly answers: number
  /** Of its audits. */
  readonly outvotedShare: number
  /** Per audit, in units of the price of what it is about. */
  readonly pay: number
  /** Audits before nobody asked it; null: none of the kind was ever barred. */
  readonly barredAfter: number | null
  /** Per job of the market and member, in units of the price: earned by work and by audits, less what its audits cost it. */
  readonly value: number
}
