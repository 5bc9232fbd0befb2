/** Which replica's output is the job's answer: validators and edge must choose alike, so ties go to the lower index. */
import { idsFromBytes } from '../codec/bytes.ts'
import { invariant } from '../invariant.ts'
import type { Intent } from '../log/intent.ts'
import { revealCodec } from '../verification/commitment.ts'
import { type Finding, findingCodec } from '../verification/finding.ts'
import { medoidOf } from '../verification/medoid.ts'
import { vectorMedoid } from '../verification/vectors.ts'
import type { Certified } from './job.ts'

/**
 * Chooses the output.
 *
 * Why `streamed` wins in `after` mode: the client has already read it, so the verdict is about exactly those tokens.
 * Why vectors that passed are compared again: their last bits differ, and the one in the middle is nearest to what all of them say.
 *
 * @param streamed  index of the replica that the client reads, null when nobody did
 * @param outputs   token ids or words of vectors by replica, empty for one that revealed nothing
 * @returns         the replica's index, or null when no output may be answered for
 */
export function chooseOutput(
  { verify, task, maxTokens }: Pick<Intent, 'verify' | 'task' | 'maxTokens'>,
  streamed: number | null,
  findings: readonly Finding[],
  outputs: readonly Uint32Array[],
): number | null {
  const sound = findings.filter((finding) => finding.verdict === 'pass' || finding.verdict === 'inconclusive')
  if (verify === 'after' && streamed !== null)
    return sound.some((finding) => finding.replica === streamed) ? streamed : null
  const passed = sound.filter((finding) => finding.verdict === 'pass')
  const candidates = (passed.length > 0 ? passed : sound).map((finding) => finding.replica)
  if (candidates.length === 0) return null
  if (task === 'embedding') return vectorMedoid(outputs, candidates, maxTokens)
  return passed[0]?.replica ?? medoidOf(outputs, candidates)
}

/** @param reveal  a reveal's body, or nothing */
export function revealedIds(reveal: Uint8Array | undefined): Uint32Array {
  const decoded = revealCodec.decode(reveal ?? new Uint8Array())
  return decoded.action === 'accept' ? (idsFromBytes(decoded.value.ids) ?? new Uint32Array()) : new Uint32Array()
}

export function findingsBodies(findings: readonly Certified[]): readonly Finding[] {
  return findings.map(({ body }) => {
    const decoded = findingCodec.decode(body)
    invariant(decoded.action === 'accept', 'a certified finding decodes')
    return decoded.value
  })
}
