/** Which rules a finding was made under, and how much a receipt may claim because of it. */
import { domainHash } from '#core/hash'
import { utf8 } from '../codec/bytes.ts'
import { type Digest, digestOf } from '../ids.ts'
import { type Finding, METHOD } from './finding.ts'
import type { OutputRule } from './structure.ts'

export type VerificationPolicy = { readonly name: string; readonly id: Digest }

function policy(name: string): VerificationPolicy {
  return { name, id: digestOf(domainHash('policy', utf8(name))) }
}

/** Structure and exact majority, no thresholds: nothing in it needs calibration. */
export const EXACT_V1: VerificationPolicy = policy('exact-v1')

/** Structure, then at least a majority whose every vector has a cosine of 0.999 or more with this one's. */
export const COSINE_V1: VerificationPolicy = policy('cosine-v1')

export function policyFor(kind: OutputRule['kind']): VerificationPolicy {
  return kind === 'vectors' ? COSINE_V1 : EXACT_V1
}

export const ASSURANCES = ['local', 'unaudited', 'replicated', 'audited', 'unverifiable'] as const
/**
 * `local`: one owner ran and judged it. `unaudited`: nobody independent looked. `replicated`: two owners gave the same output.
 * `audited`: a verifier replayed it. `unverifiable`: its sampler cannot be replayed by anybody, in whatever swarm. Only `replicated` and
 * `audited` may be called verified.
 */
export type Assurance = (typeof ASSURANCES)[number]

export type AssuranceInput = {
  /** Others can replay the job's sampler. */
  readonly verifiable: boolean
  /** The swarm's genesis says that one person runs all of it. */
  readonly local: boolean
  readonly findings: readonly Finding[]
  /** Owner of each replica's worker in the certified roster, by replica index. */
  readonly owners: readonly Digest[]
}

/** Gives the strongest claim that the findings of a job bear out. */
export function assuranceOf({ verifiable, local, findings, owners }: AssuranceInput): Assurance {
  if (!verifiable) return 'unverifiable'
  if (local) return 'local'
  const passed = findings.filter((finding) => finding.verdict === 'pass')
  if (passed.some((finding) => (finding.methods & METHOD.prefill) !== 0)) return 'audited'
  const agreed = passed.filter((finding) => (finding.methods & (METHOD.exact | METHOD.semantic)) !== 0)
  const distinct = new Set(agreed.flatMap((finding) => owners[finding.replica] ?? []))
  return distinct.size >= 2 ? 'replicated' : 'unaudited'
}
