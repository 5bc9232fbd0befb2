/** Which replica's output is the job's answer: validators and edge must choose alike, so ties go to the lower index. */
import { idsFromBytes } from '../codec/bytes.ts'
import { invariant } from '../invariant.ts'
import { revealCodec } from '../verification/commitment.ts'
import { type Finding, findingCodec } from '../verification/finding.ts'
import { medoidOf } from '../verification/medoid.ts'
import type { Certified } from './job.ts'

/**
 * Chooses the output.
 *
 * Why `streamed` wins in `after` mode: the client has already read it, so the verdict is about exactly those tokens.
 *
 * @param streamed  index of the replica that the client reads, null when nobody did
 * @param outputs   token ids by replica, empty for one that revealed nothing
 * @returns         the replica's index, or null when no output may be answered for
 */
export function chooseOutput(
  verify: 'after' | 'before',
  streamed: number | null,
  findings: readonly Finding[],
  outputs: readonly Uint32Array[],
): number | null {
  const sound = findings.filter((finding) => finding.verdict === 'pass' || finding.verdict === 'inconclusive')
  if (verify === 'after' && streamed !== null)
    return sound.some((finding) => finding.replica === streamed) ? streamed : null
  const agreed = sound.find((finding) => finding.verdict === 'pass')
  if (agreed !== undefined) return agreed.replica
  const candidates = sound.map((finding) => finding.replica)
  return candidates.length === 0 ? null : medoidOf(outputs, candidates)
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
