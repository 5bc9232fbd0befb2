/**
 * A sum over all of a worker's audited outputs that finds what no single one shows: one quantisation lower, cheating on short outputs
 * or on some tokens only.
 *
 * Why it accuses nobody: an honest worker's sum reaches the alarm about once in a million audited tokens, and more often when its
 * hardware differs from those that the weights were measured on. An alarm raises how much of a worker's output is audited, no more.
 *
 * @see Page, Continuous inspection schemes, 1954
 */
import type { AuditReport } from './audit.ts'

/** Upper ends of all bins of margins but the last, nats. */
export const MARGIN_EDGES_NATS = [0.03, 0.1, 0.3, 1, 3] as const
const STEPS_PER_NAT = 256
const MICRO = 1_000_000
/** ln 1e6: under honest margins a sum gets so far about once in 1e6 tokens. */
export const ALARM_MICRO = Math.round(Math.log(1e6) * MICRO)

/**
 * Shares of the bins. Honest: margins between settings that must agree (flash attention on and off, q8_0 beside f32), rounded up in the
 * tail; of a cheat: q4_0 in the place of q8_0, with half its excess, so that a part of a cheat is found as well.
 *
 * @see docs/VERIFICATION.md#the-cumulative-sum  where the counts are
 */
export const HONEST_SHARES = [0.991_47, 0.006, 0.002_2, 0.000_3, 0.000_02, 0.000_01] as const
export const CHEAT_SHARES = [0.975_5, 0.008, 0.008, 0.007, 0.001, 0.000_5] as const

/** What a margin of each bin adds, in millionths of a nat: integers, so that a sum is the same wherever it is kept. */
const WEIGHTS_MICRO = CHEAT_SHARES.map((share, bin) => Math.round(Math.log(share / (HONEST_SHARES[bin] ?? 1)) * MICRO))

export type Cusum = {
  /** 0 to ALARM_MICRO, millionths of a nat of evidence. */
  readonly sumMicro: number
  readonly alarms: number
}

export const NO_EVIDENCE: Cusum = { sumMicro: 0, alarms: 0 }

/** @param nats  0 or more */
export function binOf(nats: number): number {
  const bin = MARGIN_EDGES_NATS.findIndex((end) => nats < end)
  return bin < 0 ? MARGIN_EDGES_NATS.length : bin
}

/** Adds one audited token; a sum that reaches the alarm begins again. */
export function addMargin({ sumMicro, alarms }: Cusum, nats: number): Cusum {
  const sum = Math.max(0, sumMicro + (WEIGHTS_MICRO[binOf(nats)] ?? 0))
  return sum >= ALARM_MICRO ? { sumMicro: 0, alarms: alarms + 1 } : { sumMicro: sum, alarms }
}

const EVIDENCE_MICRO_MAX = 2 ** 31 - 1

/**
 * What one report says for or against its worker: the sum of its margins' weights, which a log can keep where it keeps no margins.
 *
 * A report lists the sixteen largest margins; what it does not list counts as none, so that more is never read into it than it says.
 *
 * @returns millionths of a nat, below 0 where it speaks for the worker
 */
export function evidenceOf({ positions, worst }: Pick<AuditReport, 'positions' | 'worst'>): number {
  const none = WEIGHTS_MICRO[0] ?? 0
  const listed = worst.reduce((sum, { margin256 }) => {
    return sum + (WEIGHTS_MICRO[binOf(margin256 / STEPS_PER_NAT)] ?? 0) - none
  }, 0)
  return Math.max(-EVIDENCE_MICRO_MAX, Math.min(EVIDENCE_MICRO_MAX, none * positions + listed))
}

/** Adds one output's evidence to a worker's sum; a sum that reaches the alarm begins again. */
export function addEvidence({ sumMicro, alarms }: Cusum, evidenceMicro: number): Cusum {
  const sum = Math.max(0, sumMicro + evidenceMicro)
  return sum >= ALARM_MICRO ? { sumMicro: 0, alarms: alarms + 1 } : { sumMicro: sum, alarms }
}
