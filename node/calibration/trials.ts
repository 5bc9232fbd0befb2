/** What a run produces: claims, who made and judged them, and the margins that were found. */
import { backendClassOf } from '../../core/verification/policy-table.ts'
import type { Margins } from './fit.ts'
import type { Recorded } from './noise.ts'
import type { Claim } from './outputs.ts'
import type { PromptKind } from './prompts.ts'

/** Engine ids of both sides; the thresholds are of such pairs. */
export type Made = {
  /** `honest`, or what is wrong with it. */
  readonly set: string
  /** Honest outputs are told apart by it: of one output, several audits. */
  readonly index: number
  readonly kind: PromptKind
  readonly shape: 'alone' | 'beside others'
  readonly claim: Claim
  readonly proverEngine: string
  readonly proverName: string
}

export type Trial = Pick<Made, 'set' | 'index' | 'kind' | 'shape' | 'proverEngine' | 'proverName'> & {
  readonly claim: Pick<Claim, 'sampling' | 'seed'>
  readonly temperatureMilli: number
  readonly verifierEngine: string
  readonly verifierName: string
  readonly margins: Margins
  /** Of some: logits as the auditor saw them. */
  readonly recorded?: readonly Recorded[]
}

export const HONEST = 'honest'

/** Each kind and form of prompt comes once in so many: both halves have the same share of each. */
const ROUND = 10

/** Half of the honest outputs fit the thresholds, the other half tries them: a threshold says nothing about what made it. */
export function isForFit({ index }: Pick<Trial, 'index'>): boolean {
  return Math.floor(index / ROUND) % 2 === 0
}

/** A class of engine with its kernels left open, such as `cpu-* linux-x64`: the variants of a calibration stand for all of them. */
export function classPattern(engineId: string): string {
  return backendClassOf(engineId).replace(/cpu-[^\s+]+/, 'cpu-*')
}
