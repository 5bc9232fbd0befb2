/** A third party's word on when a chunk header passed it: one clock that neither worker nor receiver chose. */
import { type BodyOf, defineBody, digest, u8, u32, u64 } from '../codec/schema.ts'
import type { Opened } from '../identity/envelope.ts'
import type { Digest, PeerId } from '../ids.ts'
import { accept, reject, type Validation } from '../validation.ts'

/** Sealed by the witness as `stamp`. */
export const stampCodec = defineBody(
  'stamp',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    index: u32(),
    chunkHash: digest(),
    /** The witness's monotonic clock, since it learned of the assignment. */
    receivedNs: u64(),
    /** Round trips that it has measured before: a stamp cannot be earlier than half of one after the sending. */
    rttWorkerUs: u32(),
    rttReceiverUs: u32(),
  },
  256,
)
export type WitnessStamp = BodyOf<typeof stampCodec>

/** Checks that a stamp is about this chunk and by a witness of this job. */
export function checkStamp(
  stamp: Pick<Opened<WitnessStamp>, 'value' | 'signer'>,
  chunk: {
    readonly jobId: Digest
    readonly attempt: number
    readonly replica: number
    readonly index: number
    readonly hash: Digest
  },
  witnesses: readonly PeerId[],
): Validation<WitnessStamp> {
  const { value, signer } = stamp
  if (!witnesses.includes(signer)) return reject('signer_mismatch')
  const placed = value.jobId === chunk.jobId && value.attempt === chunk.attempt && value.replica === chunk.replica
  if (!placed || value.index !== chunk.index || value.chunkHash !== chunk.hash) return reject('chunk_mismatch')
  return accept(value)
}
