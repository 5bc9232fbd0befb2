/** Membership at scale as one picture: how news spreads, how soon the dead are out, and what it costs. */
import type { MembersReport, ViewScenario } from '../../runtime/simulation-members.ts'
import { axes, type Box, element, FAINT, label, legend } from '../svg.ts'

const WIDTH = 1200
const HEIGHT = 900
/** Okabe and Ito (2008): told apart by colour-blind readers too. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'] as const
const MARGIN = 40
/** Percent that the second chart shows. */
const LAST_SHARE = 5
const LEFT = { left: 90, width: 470 }
const RIGHT = { left: 690, width: 470 }
const UPPER = { top: 175, height: 220 }
const LOWER = { top: 545, height: 220 }

type Point = readonly [x: number, y: number]
type Curve = { readonly name: string; readonly points: readonly Point[] }

export function membersPlot(report: MembersReport): string {
  const { request, seed } = report
  const full = request.regions === 0 ? [] : [`${request.regions} regions of ${count(request.peers)} full members`]
  const partial = request.views === 0 ? [] : [`${count(request.views)} nodes with partial views of 30`]
  const charts = [...regionCharts(report), ...viewCharts(report)]
  const height = charts.length > 2 ? HEIGHT : HEIGHT / 2 + MARGIN
  const inside = [
    element('title', {}, `Membership at scale, seed ${seed}`),
    element('rect', { width: WIDTH, height, fill: '#ffffff' }),
    label(LEFT.left, 44, 'Membership at scale', { 'font-size': 22, 'font-weight': 'bold' }),
    label(LEFT.left, 70, `${[...full, ...partial].join(', ')}; seed ${seed}`, { 'font-size': 15, fill: FAINT }),
    ...charts.map((draw, place) => draw({ ...(place % 2 === 0 ? LEFT : RIGHT), ...(place < 2 ? UPPER : LOWER) })),
  ]
  const frame = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${WIDTH} ${height}`, role: 'img' }
  return `${element('svg', { ...frame, 'font-family': 'Helvetica, Arial, sans-serif' }, ...inside)}\n`
}

type Chart = (box: Box) => string

function regionCharts({ regions }: MembersReport): readonly Chart[] {
  if (regions.length === 0) return []
  const curves = regions.map(({ crash }, place) => ({
    name: `region ${place + 1}`,
    points: crash.curve.map(({ ms, share }): Point => [ms / 1_000, 100 * share]),
  }))
  const late = curves.map(({ name, points }) => ({
    name,
    points: points.map(([x, y]): Point => [x, 100 - y]).filter(([, y]) => y <= LAST_SHARE),
  }))
  const x = 'seconds after the crash'
  return [
    (box) => chart(box, 'Dead peers, as the living see it', x, 'pairs in which it is out, %', curves),
    (box) => chart(box, 'The last to see it', x, 'pairs in which it is not out, %', late),
  ]
}

function viewCharts({ views }: MembersReport): readonly Chart[] {
  if (views.length === 0) return []
  const ended = views.map((scenario) => ({ name: nameOf(scenario), points: done(scenario) }))
  return [
    (box) => chart(box, 'News among partial views, slowest run', 'round', 'nodes that know it, %', views.map(coverage)),
    (box) => chart(box, 'Runs that had reached everybody', 'round', 'runs, %', ended),
  ]
}

function chart(box: Box, title: string, x: string, y: string, curves: readonly Curve[]): string {
  const max = Math.max(1, ...curves.flatMap(({ points }) => points.map(([at]) => at)))
  const highest = Math.max(0, ...curves.flatMap(({ points }) => points.map(([, value]) => value)))
  const { drawn, sx, sy } = axes(box, { title, x: { label: x, max, ticks: true }, y: { label: y, max: highest } })
  const paths = curves.map(({ name, points }, place) => {
    const d = `M${points.map(([at, value]) => `${sx(at).toFixed(1)} ${sy(value).toFixed(1)}`).join('L')}`
    return element('path', { 'data-series': name, d, fill: 'none', stroke: colour(place), 'stroke-width': 2.5 })
  })
  const names = curves.map(({ name }, place) => ({ name, colour: colour(place), line: true }))
  return drawn + paths.join('') + legend(box, names)
}

/** Of the slowest run. */
function coverage(scenario: ViewScenario): Curve {
  const slowest = [...scenario.runs].sort((a, b) => b.coverage.length - a.coverage.length)[0]
  const points = (slowest?.coverage ?? []).map((share, place): Point => [place + 1, 100 * share])
  return { name: nameOf(scenario), points: [[0, 0], ...points] }
}

function done({ runs }: ViewScenario): readonly Point[] {
  const last = Math.max(1, ...runs.map(({ coverage: all }) => all.length))
  return Array.from({ length: last + 1 }, (_, round): Point => {
    const ended = runs.filter(({ roundsTo100 }) => roundsTo100 !== null && roundsTo100 <= round).length
    return [round, (100 * ended) / runs.length]
  })
}

function nameOf({ peers, dropperPermille }: ViewScenario): string {
  return dropperPermille > 0 ? `${count(peers)}, churn and droppers` : count(peers)
}

function colour(place: number): string {
  return COLOURS[place % COLOURS.length] ?? FAINT
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
