/** What the mean margin alone tells apart: shares of honest and of false stretches above every threshold. */
import { axes, type Box, element, FAINT, INK, type LegendItem, label, legend } from '../simulation/svg.ts'
import type { Calibration } from './calibrate.ts'
import type { Margins } from './fit.ts'
import { areaUnder, rocOf, windowsOf } from './power.ts'
import { HONEST, isForFit, type Trial } from './trials.ts'

/** Okabe and Ito (2008): told apart by colour-blind readers too. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#6b7280', '#000000']
const WIDTH = 1_200
const HEIGHT = 520
const LENGTHS = [32, 64, 128] as const
/** The interesting corner. */
const FALSE_POSITIVES_MAX = 0.02
const CLIP_NATS = 3
const STRETCHES_MIN = 20
const EDITS: ReadonlySet<string> = new Set(['one token', 'early stop'])

export function rocPlot({ model, trials }: Pick<Calibration, 'model' | 'trials'>, seed: number): string {
  const honest = trials.filter((trial) => trial.set === HONEST && !isForFit(trial))
  const sets = [...new Set(trials.map(({ set }) => set))].filter((set) => set !== HONEST && !EDITS.has(set)).sort()
  const charts = LENGTHS.map((length, place) => {
    const box: Box = { left: 80 + place * 390, top: 175, width: 290, height: 230 }
    return chart(box, length, honest, sets, trials)
  })
  const caption = `Held-out honest outputs against each cheat, by the mean margin S1 alone, stretches of one output; ${model.name}, seed ${seed}. The worst margin S3 is not in this picture.`
  const frame = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' }
  const inside = [
    element('title', {}, `ROC of the mean margin, ${model.name}`),
    element('rect', { width: WIDTH, height: HEIGHT, fill: '#ffffff' }),
    label(80, 40, `What an audit tells apart: ${model.name}`, { 'font-size': 20, 'font-weight': 'bold', fill: INK }),
    ...charts,
    legend({ left: 80, top: 108, width: WIDTH - 160, height: 0 }, sets.map(itemOf)),
    label(80, HEIGHT - 24, caption, { fill: FAINT }),
  ]
  return `${element('svg', { ...frame, 'font-family': 'Helvetica, Arial, sans-serif' }, ...inside)}\n`
}

function itemOf(name: string, place: number): LegendItem {
  return { name, colour: COLOURS[place % COLOURS.length] ?? INK, line: true }
}

function chart(
  box: Box,
  length: number,
  honest: readonly Trial[],
  sets: readonly string[],
  all: readonly Trial[],
): string {
  const fair = honest.flatMap(({ margins }) => windowsOf(margins, length).map(meanOf))
  const { drawn, sx, sy } = axes(box, {
    title: `${length} tokens`,
    x: { label: `honest stretches above, of ${fair.length}`, max: FALSE_POSITIVES_MAX, ticks: true },
    y: { label: 'cheats above', max: 1 },
  })
  const paths = sets.map((set, place) => {
    const trials = all.filter((trial) => trial.set === set)
    const scores = trials.flatMap(({ margins }) => windowsOf(margins, length).map(meanOf))
    if (scores.length < STRETCHES_MIN) return ''
    const points = rocOf(fair, scores)
    const steps = points.filter(([x]) => x <= FALSE_POSITIVES_MAX)
    const last = points.find(([x]) => x > FALSE_POSITIVES_MAX)
    const ending = last === undefined ? [] : [[FALSE_POSITIVES_MAX, steps.at(-1)?.[1] ?? 0] as const]
    const path = [...steps, ...ending].map(([x, y]) => `${sx(x).toFixed(1)} ${sy(y).toFixed(1)}`).join('L')
    const stroke = { fill: 'none', stroke: COLOURS[place % COLOURS.length] ?? INK, 'stroke-width': 2 }
    return element('path', { 'data-series': set, 'data-area': areaUnder(points).toFixed(5), d: `M${path}`, ...stroke })
  })
  return drawn + paths.join('')
}

function meanOf(margins: Margins): number {
  return margins.reduce((sum, margin) => sum + Math.min(margin, CLIP_NATS), 0) / Math.max(1, margins.length)
}
