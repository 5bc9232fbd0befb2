/** A straight line through measured points. */

export type Point = { readonly x: number; readonly y: number }
export type Line = {
  readonly slope: number
  /** Of the slope: about two of these either way hold it in nineteen cases of twenty. */
  readonly standardError: number
  /** Share of the variance that the line explains. */
  readonly r2: number
}

/** Least squares. @param points  at least three */
export function lineThrough(points: readonly Point[]): Line {
  const count = points.length
  const meanX = sum(points.map(({ x }) => x)) / count
  const meanY = sum(points.map(({ y }) => y)) / count
  const squaresX = sum(points.map(({ x }) => (x - meanX) ** 2))
  const squaresY = sum(points.map(({ y }) => (y - meanY) ** 2))
  const slope = sum(points.map(({ x, y }) => (x - meanX) * (y - meanY))) / squaresX
  const left = sum(points.map(({ x, y }) => (y - meanY - slope * (x - meanX)) ** 2))
  const standardError = Math.sqrt(left / (count - 2) / squaresX)
  return { slope, standardError, r2: squaresY === 0 ? 1 : 1 - left / squaresY }
}

/** Of an odd or even number of figures; 0 of none. */
export function medianOf(figures: readonly number[]): number {
  const sorted = [...figures].sort((one, other) => one - other)
  const [low, high] = [sorted[(sorted.length - 1) >> 1] ?? 0, sorted[sorted.length >> 1] ?? 0]
  return (low + high) / 2
}

function sum(figures: readonly number[]): number {
  return figures.reduce((total, figure) => total + figure, 0)
}
