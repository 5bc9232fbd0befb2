/** Medians, tables and result files: what every benchmark prints in the same way. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'

export type Figure = { readonly name: string; readonly unit: string; readonly values: readonly number[] }
export type Result = {
  readonly bench: string
  readonly figures: readonly Figure[]
  readonly ratios: readonly { readonly name: string; readonly value: number }[]
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low = 0, high = 0] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]]
  return (low + high) / 2
}

export function print(result: Result): void {
  console.log(`\n${result.bench}`)
  for (const { name, unit, values } of result.figures) {
    const [low, high] = [Math.min(...values), Math.max(...values)]
    console.log(
      `  ${name.padEnd(38)} ${median(values).toFixed(2).padStart(10)} ${unit}  (${low.toFixed(2)} to ${high.toFixed(2)}, n=${values.length})`,
    )
  }
  for (const { name, value } of result.ratios) console.log(`  ${name.padEnd(38)} ${value.toFixed(3).padStart(10)}`)
}

/** Writes `bench/results/<bench>.json`; figures are of one run on one machine, so only the ratios may be compared. */
export function save(result: Result): void {
  const folder = new URL('./results/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), node: process.version }
  const figures = result.figures.map((figure) => ({ ...figure, median: median(figure.values) }))
  writeFileSync(
    new URL(`${result.bench}.json`, folder),
    `${JSON.stringify({ ...result, figures, machine }, null, 2)}\n`,
  )
}
