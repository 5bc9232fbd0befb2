/** A report as one picture: who earned what, how jobs ended, how long they took, and whether the draw was fair. */
import type { PeerKind, SimulationReport } from '../runtime/simulation.ts'
import { axes, type Box, element, FAINT, INK, label, legend, line, type Scale } from './svg.ts'

const WIDTH = 1200
const HEIGHT = 900
/** Okabe and Ito (2008): told apart by colour-blind readers too. */
const KIND_COLOURS: Readonly<Record<PeerKind, string>> = {
  honest: '#0072b2',
  liar: '#d55e00',
  crash: '#cc79a7',
  slow: '#e69f00',
  busy: '#56b4e9',
  silent: '#6b7280',
}
const PAID_COLOUR = '#009e73'
const OTHER_COLOURS = ['#d55e00', '#e69f00', '#cc79a7', '#56b4e9', '#0072b2', '#f0e442', '#6b7280', '#000000']
const MS_PER_SECOND = 1_000
const LEFT = { left: 90, width: 470 }
const RIGHT = { left: 690, width: 470 }
const UPPER = { top: 175, height: 220 }
const LOWER = { top: 545, height: 220 }

export function plotOf(report: SimulationReport): string {
  const { jobs, seed, violations, violationsLeftOut } = report
  const wrong = violations.length + violationsLeftOut
  const verdict = wrong === 0 ? 'no violation' : `${wrong} violation${wrong === 1 ? '' : 's'}`
  const head = `${count(report.request.peers)} peers, ${count(jobs.submitted)} jobs: ${count(jobs.paid)} paid, ${count(jobs.refunded)} refunded, ${count(jobs.refused)} refused, ${verdict}`
  const inside = [
    element('title', {}, `Simulated swarm, seed ${seed}`),
    element('rect', { width: WIDTH, height: HEIGHT, fill: '#ffffff' }),
    label(LEFT.left, 44, 'A simulated swarm under faults', { 'font-size': 22, 'font-weight': 'bold' }),
    label(LEFT.left, 70, head, { 'font-size': 15, fill: wrong === 0 ? INK : '#b91c1c' }),
    earnings({ ...LEFT, ...UPPER }, report),
    outcomes({ ...RIGHT, ...UPPER }, report),
    latencies({ ...LEFT, ...LOWER }, report),
    draws({ ...RIGHT, ...LOWER }, report),
    ...captions(report).map((text, row) => label(LEFT.left, 838 + 20 * row, text, { fill: FAINT })),
  ]
  const frame = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' }
  return `${element('svg', { ...frame, 'font-family': 'Helvetica, Arial, sans-serif' }, ...inside)}\n`
}

function earnings(box: Box, { series }: SimulationReport): string {
  const timesMs = [0, ...series.timesMs]
  const endS = (timesMs.at(-1) ?? 0) / MS_PER_SECOND
  const max = Math.max(0, ...series.earned.flatMap(({ perWeight }) => perWeight))
  const { drawn, sx, sy } = axes(box, {
    title: 'Earned by each kind of peer, per unit of weight',
    x: { label: 'virtual time, seconds', max: endS, ticks: true },
    y: { label: 'credits', max },
  })
  const paths = series.earned.map(({ kind, perWeight }) => {
    const points = [0, ...perWeight].map(
      (value, place) => `${at(sx, (timesMs[place] ?? 0) / MS_PER_SECOND)} ${at(sy, value)}`,
    )
    const stroke = { fill: 'none', stroke: KIND_COLOURS[kind], 'stroke-width': 2.5 }
    return element('path', { 'data-series': kind, d: `M${points.join('L')}`, ...stroke })
  })
  const names = series.earned.map(({ kind }) => ({ name: kind, colour: KIND_COLOURS[kind], line: true }))
  return drawn + paths.join('') + legend(box, names)
}

function outcomes(box: Box, { series }: SimulationReport): string {
  const spans = series.timesMs.length
  const endS = (series.timesMs.at(-1) ?? 0) / MS_PER_SECOND
  const totals = series.timesMs.map((_, span) => series.outcomes.reduce((sum, { jobs }) => sum + (jobs[span] ?? 0), 0))
  const { drawn, sx, sy } = axes(box, {
    title: `Jobs that ended, in each ${seconds((series.timesMs[0] ?? 0) / MS_PER_SECOND)} s`,
    x: { label: 'virtual time, seconds', max: endS, ticks: true },
    y: { label: 'jobs', max: Math.max(0, ...totals) },
  })
  const below = new Array<number>(spans).fill(0)
  const names: { name: string; colour: string }[] = []
  const bars = series.outcomes.map(({ outcome, jobs }, place) => {
    const fill = outcome === 'paid' ? PAID_COLOUR : (OTHER_COLOURS[(place - 1) % OTHER_COLOURS.length] ?? INK)
    names.push({ name: outcome.replaceAll('_', ' '), colour: fill })
    const rects = jobs.map((height, span) => {
      const from = below[span] ?? 0
      below[span] = from + height
      const [left, right] = [sx((span * endS) / spans), sx(((span + 1) * endS) / spans)]
      return height === 0 ? '' : bar(left, sy(from + height), right - left - 1, sy(from))
    })
    return element('g', { 'data-series': outcome, fill }, ...rects)
  })
  return drawn + bars.join('') + legend(box, names)
}

function latencies(box: Box, { series, latencyMs }: SimulationReport): string {
  const { binMs, jobs } = series.latency
  const endS = (binMs * jobs.length) / MS_PER_SECOND
  const { drawn, sx, sy } = axes(box, {
    title: 'From submission to settlement',
    x: { label: `virtual time, seconds, in steps of ${seconds(binMs / MS_PER_SECOND)}`, max: endS, ticks: true },
    y: { label: 'jobs', max: Math.max(0, ...jobs) },
  })
  const rects = jobs.map((height, bin) => {
    const [left, right] = [sx((bin * binMs) / MS_PER_SECOND), sx(((bin + 1) * binMs) / MS_PER_SECOND)]
    return height === 0 ? '' : bar(left, sy(height), right - left - 1, sy(0))
  })
  const key = { name: 'paid and refunded', colour: KIND_COLOURS.honest }
  const marks = (['p50', 'p99'] as const).map((name) => {
    const x = sx(latencyMs.paid[name] / MS_PER_SECOND)
    const text = `${name} of the paid: ${seconds(latencyMs.paid[name] / MS_PER_SECOND)} s`
    const y = box.top + (name === 'p50' ? 4 : 20)
    const near = x > box.left + box.width * 0.6 ? { x: x - 6, anchor: 'end' } : { x: x + 6, anchor: 'start' }
    return (
      line(x, box.top - 6, x, box.top + box.height, { stroke: INK, 'stroke-dasharray': '4 3' }) +
      label(near.x, y, text, {
        'text-anchor': near.anchor,
        'paint-order': 'stroke',
        stroke: '#ffffff',
        'stroke-width': 4,
      })
    )
  })
  return (
    drawn +
    element('g', { 'data-series': 'latency', fill: KIND_COLOURS.honest }, ...rects) +
    marks.join('') +
    legend(box, [key])
  )
}

function draws(box: Box, { series, draw }: SimulationReport): string {
  const groups = series.draws
  const fit =
    draw === null
      ? 'too few for a test'
      : `chi-square ${draw.chiSquare} with ${draw.degrees} degrees, p = ${draw.pValue}`
  const { drawn, sx, sy } = axes(box, {
    title: 'First places drawn, by weight of the peer',
    x: { label: `weight, and how many peers have it; ${fit}`, max: Math.max(1, groups.length), ticks: false },
    y: { label: 'draws', max: Math.max(0, ...groups.flatMap(({ drawn: seen, expected }) => [seen, expected])) },
  })
  const wide = (sx(1) - sx(0)) * 0.3
  const middle = (place: number): number => sx(place + 0.5)
  const seen = groups.map((group, place) => bar(middle(place) - wide, sy(group.drawn), wide, sy(0)))
  const due = groups.map((group, place) => bar(middle(place), sy(group.expected), wide, sy(0)))
  const names = groups.map(({ weight, peers }, place) =>
    label(middle(place), box.top + box.height + 18, `${weight} (${count(peers)})`, {
      'text-anchor': 'middle',
      fill: FAINT,
    }),
  )
  const bars = [
    element('g', { 'data-series': 'drawn', fill: KIND_COLOURS.honest }, ...seen),
    element('g', { 'data-series': 'expected', fill: '#b8c4d0' }, ...due),
  ]
  const keys = [
    { name: 'drawn', colour: KIND_COLOURS.honest },
    { name: 'expected by weight', colour: '#b8c4d0' },
  ]
  return drawn + bars.join('') + names.join('') + legend(box, keys)
}

function captions({ seed, request, quorum, swarm, outputs, balances }: SimulationReport): readonly string[] {
  const { faults, latency, model } = request
  const shares = (Object.keys(faults) as (keyof typeof faults)[]).filter((kind) => faults[kind] > 0)
  const faulty = shares.map((kind) => `${percent(faults[kind])} ${kind}`).join(', ') || 'none'
  return [
    `Seed ${seed}. Faults: ${faulty}; ${request.byzantineValidators} of ${request.validators} validators Byzantine (quorum ${quorum}); ${percent(request.loss)} of messages lost.`,
    `${request.replicas} replicas, verified ${request.verify} delivery; ${seconds(request.arrivalsPerSecond)} jobs a second; latency ${latency.meanMs} ± ${latency.jitterMs} ms; model of ${count(model.megaParams)} million parameters, ${model.promptTokens} + up to ${model.maxTokens} tokens.`,
    `Answers that came from a liar: ${outputs.chosen['liar'] ?? 0}. Books sum to ${balances.sum}. Swarm ${swarm.slice(0, 16)}. Core as in production, signatures real Ed25519.`,
  ]
}

function bar(x: number, y: number, width: number, bottom: number): string {
  return element('rect', { x, y, width: Math.max(0.5, width), height: Math.max(0, bottom - y) })
}

function at(scale: Scale, value: number): number {
  return Math.round(scale(value) * 10) / 10
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function seconds(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 3 })
}

function percent(share: number): string {
  return `${(share * 100).toLocaleString('en-US', { maximumFractionDigits: 2 })} %`
}
