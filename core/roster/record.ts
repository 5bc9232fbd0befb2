/**
 * A peer's signed word about itself, at most 1 KiB. One writer, last writer wins by (incarnation, sequence): a CRDT, so gossip may
 * deliver it in any order and any number of times. What it says of trust or speed is a claim; what counts is in the roster.
 */
import { type BodyOf, code, defineBody, digest, list, record, text, u8, u16, u32, u64 } from '../codec/schema.ts'

export const DEVICE_KINDS = ['cpu', 'cuda', 'vulkan', 'metal'] as const
/** Load is quantised so that a record is signed on change, not on noise. */
export const LOAD_STEPS = 8

export const peerRecordCodec = defineBody(
  'peer-record',
  {
    /** `host:port`, or `relay:<PeerId>` of a gateway that it keeps a connection to; in the order in which to try them. */
    addresses: list(text(72), 4),
    region: text(32),
    /** Bits of ROLE. */
    roles: u8(),
    /** The models that it would run now, in memory or on disk. */
    models: list(
      record({
        digest: digest(),
        /** How fast it was of late while at work, over all its streams, to two digits; 0 before it has been. */
        tokensPerSecond: u16(),
      }),
      12,
    ),
    hardware: record({ device: code(DEVICE_KINDS), memoryMiB: u32(), threads: u16() }),
    /** Busy slots in eighths, 0 to LOAD_STEPS. */
    load: u8(),
    /** Sequences that it runs at once, over all models. */
    slots: u16(),
    /** Price factor in permille of the swarm's price table, 1000 for the table itself. */
    factorPermille: u16(),
    /** Of the node's program. */
    version: text(24),
    /** When it began, milliseconds since the epoch; raised by the peer itself to refute a suspicion, and renewed before it is too old. */
    incarnation: u64(),
    sequence: u64(),
  },
  1_024,
)
export type PeerRecord = BodyOf<typeof peerRecordCodec>

export type RecordVersion = Pick<PeerRecord, 'incarnation' | 'sequence'>

/** Says whether `a` replaces `b`; equal versions do not replace each other. */
export function newer(a: RecordVersion, b: RecordVersion): boolean {
  return a.incarnation === b.incarnation ? a.sequence > b.sequence : a.incarnation > b.incarnation
}

/** Ends an incarnation: no word of it can follow, so whoever signs it has left until it begins a new one. */
export const LAST_SEQUENCE = 2n ** 64n - 1n

export function isGoodbye({ sequence }: RecordVersion): boolean {
  return sequence === LAST_SEQUENCE
}
