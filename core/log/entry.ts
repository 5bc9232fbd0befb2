/** One entry of the region log: what happened, where in the chain, when by the log's clock, and the bytes that authorise it. */
import { type BodyOf, bytesMax, code, defineBody, digest, u64 } from '../codec/schema.ts'
import type { Digest, SwarmId } from '../ids.ts'
import { LIMITS } from '../limits.ts'

/** In code order, from 0: the place is part of the hashed bytes and never changes. */
export const ENTRY_KINDS = [
  'genesis',
  'mint',
  'hold',
  'assignment',
  'result',
  'settlement',
  'correction',
  'evidence',
  'roster',
  'beacon',
  'validator-set',
  'invite',
  'snapshot',
  'transfer',
  'policy',
  'dispute',
] as const
export type EntryKind = (typeof ENTRY_KINDS)[number]

export const entryCodec = defineBody(
  'entry',
  {
    kind: code(ENTRY_KINDS),
    /** 0 is the genesis entry. */
    index: u64(),
    /** Hash of the entry before; 32 zero bytes before the first. */
    previous: digest(),
    /** Log time: never before the entry before it. */
    timeMs: u64(),
    body: bytesMax(LIMITS.entryBytesMax),
  },
  LIMITS.entryBytesMax,
)
export type Entry = BodyOf<typeof entryCodec>

/** What the next entry names as `previous`, and what a job's draw depends on. */
export function entryHash(swarmId: SwarmId, entryBytes: Uint8Array): Digest {
  return entryCodec.digest(swarmId, entryBytes)
}

/** Log time ends in the year 10889: sums with it stay far inside 2^53. */
export const LOG_TIME_MS_MAX: bigint = 2n ** 48n

/** Bytes that an entry adds to its body: array and version 2, kind 1, index 9, previous 34, time 9, length of the body 3. */
export const ENTRY_OVERHEAD_BYTES = 58
