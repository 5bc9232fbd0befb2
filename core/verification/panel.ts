/**
 * What several reports about one output say together, and which of those that gave them stand alone.
 *
 * Why probes come before verdicts: a verdict is one of three words, and whoever says `pass` unseen is mostly right. The gaps between
 * logits at places that nobody knew before cannot be guessed; a report whose gaps nobody else has seen counts for nothing.
 *
 * @see docs/PROTOCOL.md#audits
 */
import type { Digest } from '../ids.ts'
import { type Probe, probesAgree } from './audit.ts'
import { REPORTS_MAX } from './auditing.ts'
import type { Verdict } from './finding.ts'

/** One report as it is judged. */
export type Said = {
  /** The graver of its own verdict and that of its figures; one that says nothing abstains. */
  readonly verdict: Verdict
  readonly probes: readonly Probe[]
  /** What it was bound to before it was shown. */
  readonly commit: Digest
  /** What others were bound to before it was shown. */
  readonly others: readonly Digest[]
}

export type Panel = {
  /** `none` where nothing can be concluded. */
  readonly verdict: 'none' | 'pass' | 'suspect' | 'fail'
  /** Places of the reports that make the verdict. */
  readonly counted: readonly number[]
  /** Places of those that two others contradict: by their probes, or by a pass against their fails and the other way round. */
  readonly outvoted: readonly number[]
}

const SEVERITY: readonly Verdict[] = ['pass', 'suspect', 'fail']
/** A pass and a fail; what lies between is noise near a threshold. */
const OPPOSED = 2

/**
 * Joins the reports about one class of equal outputs.
 *
 * A lone one counts as it is, unless the lot wants several: then one alone may doubt, not pass. Of several, those count whose probes
 * another one has too. Where no two agree, doubts remain doubts and nothing has passed.
 *
 * @param isPanel  all had to be bound before any was shown, and only those that can show it bear each other out
 */
export function panelOf(reports: readonly Said[], isPanel: boolean): Panel {
  const speaking = [...reports.keys()].filter((place) => speaks(reports[place]))
  const verdictsAt = (places: readonly number[]): readonly Verdict[] =>
    places.flatMap((place) => reports[place]?.verdict ?? [])
  const isDoubted = verdictsAt(speaking).some((verdict) => verdict !== 'pass')
  if (speaking.length === 1 && (isDoubted || !isPanel))
    return { verdict: classVerdict(verdictsAt(speaking)), counted: speaking, outvoted: [] }
  const bears = (one: number, other: number): boolean => {
    const [a, b] = [reports[one], reports[other]]
    return one !== other && a !== undefined && b !== undefined && agree(a, b) && (!isPanel || areBound(a, b))
  }
  const counted = speaking.filter((one) => speaking.some((other) => bears(one, other)))
  if (counted.length === 0) return { verdict: isDoubted ? 'suspect' : 'none', counted, outvoted: [] }
  // Nobody asks for a second report where the first has no doubts: who hands in more would have its friends paid.
  if (!isPanel && !isOpen(speaking.flatMap((place) => reports[place] ?? [])))
    return { verdict: 'pass', counted: counted.slice(0, 1), outvoted: [] }
  const outvoted = speaking.filter((place) => {
    const mine = reports[place]
    if (mine === undefined) return false
    const others = counted.flatMap((other) => (other === place ? [] : (reports[other] ?? [])))
    const [strangers, opponents] = [
      others.filter((theirs) => !agree(mine, theirs)),
      others.filter((theirs) => areOpposed(mine, theirs)),
    ]
    return strangers.length >= 2 || opponents.length >= 2
  })
  return { verdict: classVerdict(verdictsAt(counted)), counted, outvoted }
}

/** How many more reports are wanted. @param said  those that are there */
export function reportsMissing(said: readonly Said[], isPanel: boolean): number {
  const speaking = said.filter(speaks)
  return Math.max(0, (isPanel || isOpen(speaking) ? REPORTS_MAX : 1) - speaking.length)
}

function isOpen(speaking: readonly Said[]): boolean {
  return (
    speaking.some(({ verdict }) => verdict !== 'pass') ||
    speaking.some((one) => speaking.some((other) => !agree(one, other)))
  )
}

/**
 * What verdicts say together when the reports behind them saw the same logits: two doubts make a verdict, one is outvoted by two that
 * have none.
 *
 * @returns `none` without a report that says something
 */
export function classVerdict(verdicts: readonly Verdict[]): Panel['verdict'] {
  const number = (wanted: Verdict): number => verdicts.filter((verdict) => verdict === wanted).length
  const [passes, suspects, fails] = [number('pass'), number('suspect'), number('fail')]
  const doubts = suspects + fails
  if (doubts === 0) return passes === 0 ? 'none' : 'pass'
  if (doubts === 1) return passes >= 2 ? 'pass' : 'suspect'
  return fails > 0 ? 'fail' : 'suspect'
}

function speaks(said: Said | undefined): boolean {
  return said !== undefined && SEVERITY.includes(said.verdict)
}

function agree({ probes: mine }: Said, { probes: theirs }: Said): boolean {
  return probesAgree(mine, theirs)
}

/** Each had been shown to be bound before the other was shown: neither can have copied. */
function areBound(one: Said, other: Said): boolean {
  return one.others.includes(other.commit) && other.others.includes(one.commit)
}

function areOpposed({ verdict: mine }: Said, { verdict: theirs }: Said): boolean {
  return Math.abs(SEVERITY.indexOf(mine) - SEVERITY.indexOf(theirs)) >= OPPOSED
}
