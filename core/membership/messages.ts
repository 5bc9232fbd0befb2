/** The bytes of membership's messages; what says which words are new comes before the signature that proves them. */
import {
  type BodyOf,
  bytes,
  bytesMax,
  code,
  defineBody,
  flag,
  list,
  peer,
  record,
  u8,
  u16,
  u64,
} from '../codec/schema.ts'
import { ENVELOPE_OVERHEAD_BYTES } from '../identity/envelope.ts'
import { peerRecordCodec } from '../roster/record.ts'
import type { Gossip } from './rumours.ts'
import { DIGEST_BYTES } from './sync.ts'
import { BUCKET_COUNT, type SealedWord } from './word.ts'

/** Of one message; a table that differs by more takes several. */
const WORD_COUNT_MAX = 512
const ACCUSATION_COUNT_MAX = 512
const VERSION_COUNT_MAX = 4_096
/** What the words of one sync may take: their signatures are checked in one go. */
export const SYNC_WORDS_BYTES_MAX = 65_536
const GOSSIP_BYTES_MAX = 524_288

const words = () =>
  list(
    record({
      peer: peer(),
      incarnation: u64(),
      sequence: u64(),
      /** The sealed peer-record. */
      envelope: bytesMax(peerRecordCodec.bytesMax + ENVELOPE_OVERHEAD_BYTES),
    }),
    WORD_COUNT_MAX,
  )
const accusations = () => list(record({ accused: peer(), incarnation: u64(), accuser: peer() }), ACCUSATION_COUNT_MAX)

/** `swim/ping` and its answer. */
export const gossipCodec = defineBody('swim-gossip', { words: words(), accusations: accusations() }, GOSSIP_BYTES_MAX)
export type WireGossip = BodyOf<typeof gossipCodec>

/** `swim/ping-req` */
export const helpCodec = defineBody(
  'swim-help',
  { target: peer(), waitMs: u16(), words: words(), accusations: accusations() },
  GOSSIP_BYTES_MAX,
)
/** Its answer. */
export const HELP_ANSWERS = ['reached', 'unreached'] as const
export const helpAnswerCodec = defineBody(
  'swim-help-answer',
  { answer: code(HELP_ANSWERS), words: words(), accusations: accusations() },
  GOSSIP_BYTES_MAX,
)

/** `swim/digest` */
export const digestCodec = defineBody('swim-digest', { digest: bytes(DIGEST_BYTES) }, DIGEST_BYTES + 16)
/** Its answer: the buckets that differ, and the versions in them. */
export const versionsCodec = defineBody(
  'swim-versions',
  {
    buckets: list(u8(), BUCKET_COUNT),
    versions: list(record({ peer: peer(), incarnation: u64(), sequence: u64(), isGone: flag() }), VERSION_COUNT_MAX),
  },
  GOSSIP_BYTES_MAX,
)

/** `swim/sync`: what the other lacks, and what it is asked for. Its answer is a gossip body. */
export const syncCodec = defineBody(
  'swim-sync',
  { wanted: list(peer(), VERSION_COUNT_MAX), words: words(), accusations: accusations() },
  GOSSIP_BYTES_MAX,
)

/** As much of it as a message holds. */
export function toWire(gossip: Gossip<SealedWord>): WireGossip {
  return {
    words: gossip.words.slice(0, WORD_COUNT_MAX).map(({ peer: about, incarnation, sequence, envelope }) => ({
      peer: about,
      incarnation,
      sequence,
      envelope,
    })),
    accusations: gossip.accusations.slice(0, ACCUSATION_COUNT_MAX),
  }
}
