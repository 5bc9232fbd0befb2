/** How near the answers of a job lie to each other (L3), by the small encoder that every node has: a choice rests on it, no verdict. */
import { FabricError } from '../../core/errors.ts'
import { type Closeness, revealedOutput } from '../../core/job/choice.ts'
import type { Job, Replica } from '../../core/job/job.ts'
import { weightsOf } from '../../core/job/judge.ts'
import type { SettlementProposal } from '../../core/job/proposal.ts'
import type { RosterSnapshot } from '../../core/roster/roster.ts'
import type { ModelRunner } from './runner.ts'

/** The bundled one: everybody who checks a choice must have it. */
const ENCODER = 'use-lite-en'
const PERMILLE = 1_000
/** Encoders of two machines differ by less; what differs by more was made up. */
const TOLERANCE_PERMILLE = 5

/** @returns permille of each pair (0,1), (0,2), ..., (1,2), ...; nothing where they cannot be compared */
export type Compare = (texts: readonly string[], signal: AbortSignal) => Promise<readonly number[]>

/** Compares texts by the cosines of their vectors; an answer longer than the encoder reads leaves all of them to their tokens. */
export function comparing(runner: Pick<ModelRunner, 'useNamed'>): Compare {
  return async (texts, signal) => {
    // Of several replicas one may have shown nothing: it takes its place in the list, and nobody chooses it.
    const shown = texts.map((text) => (text.trim() === '' ? '-' : text))
    try {
      const { vectors } = await runner.useNamed(ENCODER, signal, (model) => model.embed(shown, signal))
      return vectors.flatMap((one, place) => vectors.slice(place + 1).map((other) => permilleOf(one, other)))
    } catch (error) {
      if (error instanceof FabricError) return []
      throw error
    }
  }
}

/** @param one, other  unit vectors; @returns 0 to 1,000 */
function permilleOf(one: Float32Array, other: Float32Array): number {
  const cosine = one.reduce((sum, value, place) => sum + value * (other[place] ?? 0), 0)
  return Math.min(PERMILLE, Math.max(0, Math.round(cosine * PERMILLE)))
}

/**
 * Compares the answers of a job among which one must be chosen.
 *
 * @returns undefined where there is no choice: the client has read one, or all say the same
 */
export async function closenessOf(
  job: Job & { readonly replicas: readonly Replica[] },
  roster: RosterSnapshot,
  compare: Compare | undefined,
  signal: AbortSignal,
): Promise<Closeness | undefined> {
  const { intent, replicas } = job
  if (compare === undefined || intent.verify === 'after' || intent.task === 'embedding') return undefined
  const texts = replicas.map(
    (replica) => revealedOutput(replica.state === 'revealed' ? replica.reveal : undefined).text,
  )
  if (new Set(texts).size < 2) return undefined
  const weights = weightsOf(
    roster,
    replicas.map(({ worker }) => worker),
  )
  return { cosines: await compare(texts, signal), weights }
}

/** @throws FabricError CF_MESH_REFUSED where an edge's cosines are not those of this node's encoder; one that has none believes them */
export async function checkCosines(
  { cosines, reveals }: Pick<SettlementProposal, 'cosines' | 'reveals'>,
  compare: Compare | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (cosines.length === 0 || compare === undefined) return
  const own = await compare(
    reveals.map((reveal) => revealedOutput(reveal).text),
    signal,
  )
  if (own.length > 0 && !areAlike(cosines, own))
    throw new FabricError('CF_MESH_REFUSED', { reason: 'proposal_mismatch' })
}

/** Whether cosines are those that this node finds too. */
function areAlike(claimed: readonly number[], own: readonly number[]): boolean {
  return (
    claimed.length === own.length &&
    claimed.every((value, pair) => Math.abs(value - (own[pair] ?? 0)) <= TOLERANCE_PERMILLE)
  )
}
