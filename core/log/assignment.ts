/** Who runs a job: what the validators vote on after the draw, and the signed answers that the draw rests on. */
import { domainHash } from '#core/hash'
import { type BodyOf, code, defineBody, digest, flag, list, peer, u8, u32, u64 } from '../codec/schema.ts'
import { type Digest, digestBytes, digestOf, type SwarmId } from '../ids.ts'
import { LIMITS } from '../limits.ts'

export const assignmentCodec = defineBody(
  'assignment',
  {
    jobId: digest(),
    attempt: u32(),
    epoch: u64(),
    rosterRoot: digest(),
    beacon: digest(),
    /** Hash of the log entry that holds the job's money: it did not exist when the user chose the intent. */
    holdHash: digest(),
    /** In rank order; the place is the replica's index. */
    workers: list(peer(), LIMITS.replicaCountMax),
    answersDigest: digest(),
    /** Log time until which commitments count. */
    commitByMs: u64(),
    revealByMs: u64(),
    /** True when a worker is also a validator: such a validator abstains on its own replica. */
    overlapping: flag(),
  },
  1024,
)
export type Assignment = BodyOf<typeof assignmentCodec>

export const answerCodec = defineBody(
  'answer',
  {
    jobId: digest(),
    attempt: u32(),
    answer: code(['accept', 'busy']),
    /** Slots free when it answered. */
    slotsFree: u8(),
  },
  128,
)
export type Answer = BodyOf<typeof answerCodec>

/** Digest of a body under its domain: what a vote is about. */
export function bodyDigest(domain: string, swarmId: SwarmId, body: Uint8Array): Digest {
  return digestOf(domainHash(domain, digestBytes(swarmId), body))
}

/** Binds the signed answers, in rank order, into the assignment. */
export function answersDigest(swarmId: SwarmId, answerEnvelopes: readonly Uint8Array[]): Digest {
  return digestOf(
    domainHash('answers', digestBytes(swarmId), ...answerEnvelopes.flatMap((bytes) => [lengthPrefix(bytes), bytes])),
  )
}

function lengthPrefix(bytes: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(4)
  new DataView(prefix.buffer).setUint32(0, bytes.length)
  return prefix
}
