/** Bodies that users, peers and mint keys sign: they travel as envelopes, and the envelope is the entry's body, or part of it. */
import {
  type BodyOf,
  bytes,
  bytesMax,
  code,
  defineBody,
  digest,
  i64,
  peer,
  text,
  u8,
  u32,
  u64,
} from '../codec/schema.ts'
import { ENVELOPE_OVERHEAD_BYTES } from '../identity/envelope.ts'
import type { PeerId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { DISPUTE_CLAIMS } from '../verification/dispute.ts'

const ACCOUNT_BYTES_MAX = 64

/** Genesis entry: names the genesis that the log belongs to; the genesis itself is a file of its own. */
export const genesisEntryCodec = defineBody('genesis-entry', { swarmId: digest() }, 64)

const INTENT_ENVELOPE_BYTES_MAX = LIMITS.intentBytesMax + ENVELOPE_OVERHEAD_BYTES

/** Makes a job of an intent, and says who drives it. The log takes it from the edge itself alone: nobody signs for being named. */
export const holdCodec = defineBody(
  'hold',
  {
    edge: peer(),
    /** The user's envelope `intent`. */
    intent: bytesMax(INTENT_ENVELOPE_BYTES_MAX),
  },
  INTENT_ENVELOPE_BYTES_MAX + 64,
)

/** @param intent  a sealed `intent` */
export function holdBody(edge: PeerId, intent: Uint8Array): Uint8Array {
  return holdCodec.encode({ edge, intent })
}

/** Calls a finding of a settled job wrong, and stakes money on it. Signed by a party of the job. */
export const disputeCodec = defineBody(
  'dispute',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    claim: code(DISPUTE_CLAIMS),
    /** How many disputes the job has had before: the same envelope opens no second one. */
    number: u8(),
  },
  128,
)
export type Dispute = BodyOf<typeof disputeCodec>

/** Creates credit. Signed by a mint key of the genesis. */
export const mintCodec = defineBody(
  'mint',
  {
    to: text(ACCOUNT_BYTES_MAX),
    amount: i64(),
    reason: text(LIMITS.reasonBytesMax),
    idempotencyKey: text(LIMITS.idempotencyKeyBytesMax),
  },
  400,
)
export type Mint = BodyOf<typeof mintCodec>

export const DIRECT_KINDS = ['spend', 'reward', 'transfer'] as const

/**
 * Moves credit at once. `spend`: a user pays the platform. `reward`: a mint key pays a node out of the platform or the mint.
 * `transfer`: the owner of `from` signs; for the platform, a mint key.
 */
export const transferCodec = defineBody(
  'transfer',
  {
    kind: code(DIRECT_KINDS),
    from: text(ACCOUNT_BYTES_MAX),
    to: text(ACCOUNT_BYTES_MAX),
    amount: i64(),
    reason: text(LIMITS.reasonBytesMax),
    /** Empty, or the 32 bytes of a job that it is about. */
    jobId: bytesMax(32),
    idempotencyKey: text(LIMITS.idempotencyKeyBytesMax),
  },
  512,
)
export type DirectBody = BodyOf<typeof transferCodec>

/** Lets one peer in. Signed by a validator or mint key. */
export const inviteCodec = defineBody(
  'invite',
  {
    id: bytes(16),
    expiresMs: u64(),
    /** Empty, or the 32-byte key of the only peer that may use it. */
    forPeer: bytesMax(32),
    /** Micro-credits for the user that it is spent for; above zero only when a mint key signed it. */
    grant: i64(),
  },
  128,
)
export type Invite = BodyOf<typeof inviteCodec>

/** Says that a peer is the signer's: else anybody could count its machines as another's. */
export const ownCodec = defineBody('own', { peer: peer() }, 64)

/** Uses an invite up. Signed by the peer that comes in. */
export const inviteSpendCodec = defineBody(
  'invite-spend',
  {
    /** The issuer's envelope. */
    invite: bytesMax(300),
    /** Who owns the peer, and is granted what the invite grants. */
    user: peer(),
    /** The user's envelope `own`; empty when the peer is its own user. */
    consent: bytesMax(220),
  },
  600,
)
export type InviteSpend = BodyOf<typeof inviteSpendCodec>
