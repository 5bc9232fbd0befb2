/** Plain statistics of a report: quantiles, and how uneven a draw is. */
import type { Quantiles } from '../runtime/simulation.ts'

const PLACES = 10_000
const SERIES_TERMS_MAX = 1_000
const PRECISION = 1e-12

/** Four places: what a reader can use, and nothing that differs in the last bit. */
export function rounded(value: number): number {
  return Math.round(value * PLACES) / PLACES
}

/** Nearest rank. */
export function quantilesOf(values: readonly number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0, count: sorted.length }
}

export type Fit = { readonly chiSquare: number; readonly degrees: number; readonly pValue: number }

/** Pearson's chi-square of counts against what was expected of each. */
export function fitOf(bins: readonly { readonly seen: number; readonly expected: number }[]): Fit {
  const chiSquare = bins.reduce((sum, { seen, expected }) => sum + (seen - expected) ** 2 / expected, 0)
  const degrees = Math.max(1, bins.length - 1)
  return { chiSquare: rounded(chiSquare), degrees, pValue: rounded(upperGamma(degrees / 2, chiSquare / 2)) }
}

/** Q(a, x), the regularised upper incomplete gamma function (Abramowitz and Stegun 6.5.29 and 6.5.31). */
function upperGamma(a: number, x: number): number {
  if (x <= 0) return 1
  const front = Math.exp(-x + a * Math.log(x) - logGamma(a))
  if (x < a + 1) {
    let [sum, term] = [1 / a, 1 / a]
    for (let n = 1; n < SERIES_TERMS_MAX && term > sum * PRECISION; n += 1) {
      term *= x / (a + n)
      sum += term
    }
    return Math.max(0, 1 - front * sum)
  }
  let fraction = 0
  for (let n = SERIES_TERMS_MAX; n > 0; n -= 1) fraction = (n * (n - a)) / (x + 2 * n + 1 - a - fraction)
  return front / (x + 1 - a - fraction)
}

/** Stirling's series after a shift upwards. */
function logGamma(value: number): number {
  let [x, shift] = [value, 0]
  for (; x < 8; x += 1) shift += Math.log(x)
  const series = 1 / (12 * x) - 1 / (360 * x ** 3) + 1 / (1_260 * x ** 5)
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series - shift
}
