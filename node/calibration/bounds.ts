/** What a count of events in a number of runs allows to say. */

/** Of the normal distribution, for 95 %, both sides. */
const Z = 1.959964
/** -ln 0.05: without any event in N runs its rate is below 3/N with 95 % (Hanley and Lippman-Hand 1983). */
const NONE_SEEN = 3

export type Rate = {
  readonly events: number
  readonly runs: number
  readonly rate: number
  /** 95 % bounds: Wilson (1927); 3/N on the open side where there was no event, or nothing else. */
  readonly low: number
  readonly high: number
}

export function rateOf(events: number, runs: number): Rate {
  if (runs === 0) return { events, runs, rate: 0, low: 0, high: 1 }
  const rate = events / runs
  if (events === 0) return { events, runs, rate, low: 0, high: Math.min(1, NONE_SEEN / runs) }
  if (events === runs) return { events, runs, rate, low: Math.max(0, 1 - NONE_SEEN / runs), high: 1 }
  const scale = 1 + Z ** 2 / runs
  const middle = (rate + Z ** 2 / (2 * runs)) / scale
  const half = (Z * Math.sqrt((rate * (1 - rate)) / runs + Z ** 2 / (4 * runs ** 2))) / scale
  return { events, runs, rate, low: Math.max(0, middle - half), high: Math.min(1, middle + half) }
}
