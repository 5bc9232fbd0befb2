/** A calibration as text for people. */

import type { PolicyRow } from '../../core/verification/policy-table.ts'
import { TABLE_LENGTHS } from '../../core/verification/policy-table.ts'
import type { Assessment, CheatFigures, HonestFigures } from './assess.ts'
import type { Rate } from './bounds.ts'
import type { Caught } from './power.ts'

export type Rows = readonly (readonly string[])[]

const TEMPERATURES = ['0', 'below 0.75', '0.75 and more']

export function thresholdRows(rows: readonly PolicyRow[]): Rows {
  const head = [
    'WORKER',
    'AUDITOR',
    'T',
    ...TABLE_LENGTHS.map((length) => `TAU1(${length})`),
    'TAU3',
    'AUDITS',
    'TOKENS',
  ]
  return [
    head,
    ...rows.map((row) => [
      ...[row.prover, row.verifier, TEMPERATURES[row.temperature] ?? ''],
      ...row.suspectMicro.map((suspect, place) => `${nats(suspect)} / ${nats(row.failMicro[place] ?? 0)}`),
      ...[(row.worstMicro / 1e6).toFixed(2), String(row.honestAudits), String(row.honestTokens)],
    ]),
  ]
}

function nats(micro: number): string {
  return (micro / 1e6).toFixed(4)
}

export function honestRows({ fitted, held }: Pick<Assessment, 'fitted' | 'held'>): Rows {
  const row = (name: string, figures: HonestFigures): readonly string[] => [
    ...[name, String(figures.outputs), String(figures.audits), String(figures.tokens)],
    ...[percent(figures.suspected), percent(figures.failed), percent(figures.rejected), figures.worstNats.toFixed(3)],
  ]
  return [
    ['HONEST', 'OUTPUTS', 'AUDITS', 'TOKENS', 'SUSPECT', 'FAIL', 'REJECTED BY TWO', 'WORST'],
    row('made the table', fitted),
    row('held out', held),
  ]
}

export function cheatRows({ cheats, noise }: Pick<Assessment, 'cheats' | 'noise'>): Rows {
  const lengths = [64, 128, 256] as const
  const row = (figures: CheatFigures): readonly string[] => [
    ...[figures.set, String(figures.outputs), percent(figures.whole.caught), percent(figures.whole.failed)],
    ...lengths.map((length) => at(figures, length)),
  ]
  const head = ['CHEAT', 'OUTPUTS', 'CAUGHT', 'FAILED', ...lengths.map((length) => `IN ${length} TOKENS`)]
  return [head, ...[...cheats, ...noise].map(row)]
}

/** In stretches of one output; of several together where none is as long. */
function at({ windows, joined }: CheatFigures, length: number): string {
  const alone: Caught | undefined = windows.find(({ tokens }) => tokens === length)
  if (alone !== undefined) return percent(alone.caught)
  const together = joined.find(({ tokens }) => tokens === length)
  return together === undefined ? '' : `${percent(together.caught)} joined`
}

/** With the number of runs and the bound that they allow. */
export function percent({ rate, runs, low, high }: Rate): string {
  if (runs === 0) return 'none'
  const plain = (value: number): string => `${Number((value * 100).toFixed(3))} %`
  const bound = rate > 0.5 ? `>= ${plain(low)}` : `<= ${plain(high)}`
  return `${plain(rate)} of ${runs} (${bound})`
}
