/** Which rules a finding was made under, and how much a receipt may claim because of it. */
import { domainHash } from '#core/hash'
import { utf8 } from '../codec/bytes.ts'
import { type Digest, digestOf } from '../ids.ts'
import { type Finding, METHOD } from './finding.ts'

export type VerificationPolicy = { readonly name: string; readonly id: Digest }

function policy(name: string): VerificationPolicy {
  return { name, id: digestOf(domainHash('policy', utf8(name))) }
}

/** Structure and exact majority, no thresholds: nothing in it needs calibration. */
export const EXACT_V1: VerificationPolicy = policy('exact-v1')

export const ASSURANCES = ['local', 'unaudited', 'replicated', 'audited'] as const
/**
 * `local`: one owner ran and judged it. `unaudited`: nobody independent looked. `replicated`: two owners gave the same output.
 * `audited`: a verifier replayed it. Only the last two may be called verified.
 */
export type Assurance = (typeof ASSURANCES)[number]

export type AssuranceInput = {
  /** The swarm's genesis says that one person runs all of it. */
  readonly local: boolean
  readonly findings: readonly Finding[]
  /** Owner of each replica's worker in the certified roster, by replica index. */
  readonly owners: readonly Digest[]
}

/** Gives the strongest claim that the findings of a job bear out. */
export function assuranceOf({ local, findings, owners }: AssuranceInput): Assurance {
  if (local) return 'local'
  const passed = findings.filter((finding) => finding.verdict === 'pass')
  if (passed.some((finding) => (finding.methods & METHOD.prefill) !== 0)) return 'audited'
  const agreed = passed.filter((finding) => (finding.methods & METHOD.exact) !== 0)
  const distinct = new Set(agreed.flatMap((finding) => owners[finding.replica] ?? []))
  return distinct.size >= 2 ? 'replicated' : 'unaudited'
}
