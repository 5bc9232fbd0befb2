/** Which replica's output is the job's answer: validators and edge must choose alike, so ties go to the lower index. */
import { idsFromBytes } from '../codec/bytes.ts'
import { invariant } from '../invariant.ts'
import type { Intent } from '../log/intent.ts'
import { revealCodec } from '../verification/commitment.ts'
import { type Finding, findingCodec } from '../verification/finding.ts'
import { medoidOf } from '../verification/medoid.ts'
import { chooseAmong, pairCount, similaritiesOf } from '../verification/semantic.ts'
import { vectorMedoid } from '../verification/vectors.ts'
import type { Certified } from './job.ts'

/** What a replica revealed; nothing of one that revealed nothing. */
export type RevealedOutput = {
  /** Token ids, or words of vectors. */
  readonly ids: Uint32Array
  readonly text: string
}

/** How near the texts of a job lie to each other (L3), and how much each worker's counts. */
export type Closeness = {
  /** Permille of the pairs (0,1), (0,2), ..., (1,2), ...: an encoder's word; empty: nobody asked one. */
  readonly cosines: readonly number[]
  /** Of the workers in the roster, in order of replica. */
  readonly weights: readonly number[]
}

/**
 * Chooses the output.
 *
 * Why `streamed` wins in `after` mode: the client has already read it, so the verdict is about exactly those tokens.
 * Why vectors that passed are compared again: their last bits differ, and the one in the middle is nearest to what all of them say.
 *
 * @param streamed   index of the replica that the client reads, null when nobody did
 * @param outputs    by replica
 * @param closeness  null or without cosines: the tokens themselves are compared
 * @returns          the replica's index, or null when no output may be answered for
 */
export function chooseOutput(
  { verify, task, maxTokens }: Pick<Intent, 'verify' | 'task' | 'maxTokens'>,
  streamed: number | null,
  findings: readonly Finding[],
  outputs: readonly RevealedOutput[],
  closeness: Closeness | null = null,
): number | null {
  const sound = findings.filter((finding) => finding.verdict === 'pass' || finding.verdict === 'inconclusive')
  if (verify === 'after' && streamed !== null)
    return sound.some((finding) => finding.replica === streamed) ? streamed : null
  const passed = sound.filter((finding) => finding.verdict === 'pass')
  const candidates = (passed.length > 0 ? passed : sound).map((finding) => finding.replica)
  if (candidates.length === 0) return null
  const ids = outputs.map((output) => output.ids)
  if (task === 'embedding') return vectorMedoid(ids, candidates, maxTokens)
  const isCompared = closeness !== null && closeness.cosines.length === pairCount(outputs.length)
  if (!isCompared || closeness.weights.length !== outputs.length) return medoidOf(ids, candidates)
  const texts = outputs.map(({ text }) => text)
  const chosen = chooseAmong(similaritiesOf(texts, closeness.cosines), closeness.weights, candidates)
  return chosen ?? medoidOf(ids, candidates)
}

/** @param reveal  a reveal's body, or nothing */
export function revealedOutput(reveal: Uint8Array | undefined): RevealedOutput {
  const decoded = revealCodec.decode(reveal ?? new Uint8Array())
  if (decoded.action !== 'accept') return { ids: new Uint32Array(), text: '' }
  const { ids, text } = decoded.value
  return { ids: idsFromBytes(ids) ?? new Uint32Array(), text }
}

export function findingsBodies(findings: readonly Certified[]): readonly Finding[] {
  return findings.map(({ body }) => {
    const decoded = findingCodec.decode(body)
    invariant(decoded.action === 'accept', 'a certified finding decodes')
    return decoded.value
  })
}
