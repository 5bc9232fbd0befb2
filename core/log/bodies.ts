/** Bodies that users, peers and mint keys sign: they travel as envelopes, and the envelope is the entry's body. */
import { type BodyOf, bytes, bytesMax, code, defineBody, digest, i64, text, u64 } from '../codec/schema.ts'
import { LIMITS } from '../limits.ts'

const ACCOUNT_BYTES_MAX = 64

/** Genesis entry: names the genesis that the log belongs to; the genesis itself is a file of its own. */
export const genesisEntryCodec = defineBody('genesis-entry', { swarmId: digest() }, 64)

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
  },
  128,
)
export type Invite = BodyOf<typeof inviteCodec>

/** Uses an invite up. Signed by the peer that comes in; `invite` is the issuer's envelope. */
export const inviteSpendCodec = defineBody('invite-spend', { invite: bytesMax(300) }, 400)
export type InviteSpend = BodyOf<typeof inviteSpendCodec>
