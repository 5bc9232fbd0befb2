/** Speed as one receiver saw it, in integers: what a receipt states. */
import { invariant } from '../invariant.ts'

export type LatencySummary = {
  /** From the order to work to the first chunk, rounded down. */
  readonly ttftMs: number
  readonly tokens: number
  /** All tokens over the time from the order to the last chunk, in thousandths. */
  readonly tokensPerSecondMilli: number
  /** Gaps between consecutive chunks by nearest rank; 0 for fewer than two chunks. */
  readonly gapP50Ms: number
  readonly gapP99Ms: number
}

export type ChunkArrival = { readonly tokenCount: number; readonly receivedNs: bigint }

const NS_PER_MS = 1_000_000n
const MILLI_NS_PER_SECOND = 1_000_000_000_000n
const U32_MAX = 0xffff_ffffn

/**
 * Summarises a stream.
 *
 * @param arrivals  in order; `receivedNs` counts from the order to work and never falls
 */
export function summarise(arrivals: readonly ChunkArrival[]): LatencySummary {
  const tokens = arrivals.reduce((sum, { tokenCount }) => sum + tokenCount, 0)
  const [first, last] = [arrivals[0], arrivals.at(-1)]
  if (first === undefined || last === undefined) {
    return { ttftMs: 0, tokens, tokensPerSecondMilli: 0, gapP50Ms: 0, gapP99Ms: 0 }
  }
  const gaps = arrivals.slice(1).map(({ receivedNs }, place) => receivedNs - (arrivals[place]?.receivedNs ?? 0n))
  invariant(
    gaps.every((gap) => gap >= 0n),
    'arrivals are in order',
  )
  const spanNs = last.receivedNs > 0n ? last.receivedNs : 1n
  return {
    ttftMs: clamp(first.receivedNs / NS_PER_MS),
    tokens,
    tokensPerSecondMilli: clamp((BigInt(tokens) * MILLI_NS_PER_SECOND) / spanNs),
    gapP50Ms: clamp(percentile(gaps, 50) / NS_PER_MS),
    gapP99Ms: clamp(percentile(gaps, 99) / NS_PER_MS),
  }
}

function percentile(values: readonly bigint[], percent: number): bigint {
  const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  return sorted[Math.ceil((percent * sorted.length) / 100) - 1] ?? 0n
}

/** Fields of a receipt are u32. */
function clamp(value: bigint): number {
  return Number(value > U32_MAX ? U32_MAX : value)
}

/**
 * Takes the median of each field on its own, the lower of two middle values: of three witnesses one may lie, of five two.
 *
 * @returns undefined without witnesses
 */
export function medianOf(summaries: readonly LatencySummary[]): LatencySummary | undefined {
  if (summaries.length === 0) return undefined
  const middle = (field: keyof LatencySummary): number => {
    const sorted = summaries.map((summary) => summary[field]).sort((a, b) => a - b)
    return sorted[(sorted.length - 1) >> 1] ?? 0
  }
  return {
    ttftMs: middle('ttftMs'),
    tokens: middle('tokens'),
    tokensPerSecondMilli: middle('tokensPerSecondMilli'),
    gapP50Ms: middle('gapP50Ms'),
    gapP99Ms: middle('gapP99Ms'),
  }
}
