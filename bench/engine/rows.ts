/** Two ways to do one thing, timed in turn; what came out as rows of a table and of a file. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'

/** One run of one way. It may measure several things at once, each under its own name. */
export type Way = { readonly name: string; readonly run: () => Promise<Readonly<Record<string, number>>> }

/** `ratio`: ours / theirs; `difference`: ours - theirs; `alone`: ours against a fixed limit. */
export type Comparison = 'ratio' | 'difference' | 'alone'
export type Wanted = { readonly atLeast: number } | { readonly atMost: number }

export type Row = {
  readonly test: string
  readonly unit: string
  readonly ours: readonly number[]
  readonly reference: string
  /** As many as `ours`, taken in turn with them; empty when compared with a limit. */
  readonly theirs: readonly number[]
  readonly comparison: Comparison
  readonly wanted?: Wanted
}

export type Samples = (way: string, figure: string) => readonly number[]

/**
 * Runs every way once a round, in an order that turns each time, so that the noise of the machine falls on all of them.
 *
 * The first round warms up files, clocks and compilers and does not count.
 */
export async function inTurn(ways: readonly Way[], rounds: number): Promise<Samples> {
  const samples = new Map<string, number[]>()
  for (let round = -1; round < rounds; round += 1)
    for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
      const figures = await way.run()
      if (round < 0) continue
      for (const [figure, value] of Object.entries(figures)) {
        const key = `${way.name} ${figure}`
        samples.set(key, [...(samples.get(key) ?? []), value])
      }
    }
  return (way, figure) => samples.get(`${way} ${figure}`) ?? []
}

/** Linear between the two nearest; `part` 0.5 is the median. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const place = (sorted.length - 1) * part
  const [low = Number.NaN, high = Number.NaN] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]]
  return low + (high - low) * (place - Math.floor(place))
}

/** Round by round: what was measured close together is compared. */
export function comparedOf({ ours, theirs, comparison }: Row): readonly number[] {
  if (comparison === 'alone') return ours
  const other = (place: number): number => theirs[place] ?? Number.NaN
  return ours.map((value, place) => (comparison === 'ratio' ? value / other(place) : value - other(place)))
}

export function isMet(row: Row): boolean | undefined {
  if (row.wanted === undefined) return undefined
  const value = quantile(comparedOf(row), 0.5)
  return 'atLeast' in row.wanted ? value >= row.wanted.atLeast : value <= row.wanted.atMost
}

const HEAD = ['test', 'unit', 'ours', 'reference', 'theirs', 'compared', 'quartiles', 'wanted', 'met', 'n']

export function markdown(rows: readonly Row[]): string {
  const lines = [HEAD, HEAD.map(() => '---'), ...rows.map(cellsOf)]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function cellsOf(row: Row): readonly string[] {
  const compared = comparedOf(row)
  const middle = (values: readonly number[]): string => (values.length === 0 ? '' : plain(quantile(values, 0.5)))
  const met = isMet(row)
  return [
    ...[row.test, row.unit, middle(row.ours), row.reference, middle(row.theirs), middle(compared)],
    `${plain(quantile(compared, 0.25))} to ${plain(quantile(compared, 0.75))}`,
    wantedText(row.wanted),
    met === undefined ? '' : met ? 'yes' : 'no',
    String(row.ours.length),
  ]
}

function wantedText(wanted: Wanted | undefined): string {
  if (wanted === undefined) return ''
  return 'atLeast' in wanted ? `>= ${plain(wanted.atLeast)}` : `<= ${plain(wanted.atMost)}`
}

function plain(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 3
  return value.toFixed(digits)
}

export type Conditions = {
  readonly engineId: string
  readonly driver: string
  readonly referenceCpu: string
  readonly models: readonly string[]
}

/** Writes `bench/results/engine-<suite>.json`; only what was compared within one run may be compared at all. */
export function saveRows(suite: string, rows: readonly Row[], conditions: Conditions): void {
  const folder = new URL('../results/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), node: process.version }
  const figures = rows.map((row) => {
    const compared = comparedOf(row)
    const [low, median, high] = [0.25, 0.5, 0.75].map((part) => quantile(compared, part))
    return { ...row, compared: { median, quartiles: [low, high] }, met: isMet(row) ?? null }
  })
  const result = { bench: `engine-${suite}`, conditions, rows: figures, machine, load: loadavg()[0] }
  writeFileSync(new URL(`engine-${suite}.json`, folder), `${JSON.stringify(result, null, 2)}\n`)
}
