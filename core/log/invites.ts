/** Making invites and spending them. */
import { sealAs } from '../identity/envelope.ts'
import type { KeyPair } from '../identity/keys.ts'
import { keyOf, type PeerId, type SwarmId } from '../ids.ts'
import { inviteCodec, inviteSpendCodec, ownCodec } from './bodies.ts'

export type InviteTerms = {
  /** 16 bytes, the issuer's own choice; an id is good for one peer. */
  readonly id: Uint8Array
  readonly expiresMs: bigint
  /** The only peer that may use it; null: whoever comes first. */
  readonly forPeer: PeerId | null
  /** Micro-credits for its user; above zero only with a mint key. */
  readonly grant: bigint
}

/** @param issuer  a validator or a mint key */
export function sealInvite(swarmId: SwarmId, { forPeer, ...terms }: InviteTerms, issuer: KeyPair): Uint8Array {
  const bound = forPeer === null ? new Uint8Array() : keyOf(forPeer)
  return sealAs(inviteCodec, { ...terms, forPeer: bound }, swarmId, issuer)
}

/**
 * Gives the body of the entry that lets a peer in.
 *
 * @param user  owns the peer from now on, and says so by its signature
 */
export function sealSpend(swarmId: SwarmId, invite: Uint8Array, user: KeyPair, peer: KeyPair): Uint8Array {
  const consent = user.peer === peer.peer ? new Uint8Array() : sealAs(ownCodec, { peer: peer.peer }, swarmId, user)
  return sealAs(inviteSpendCodec, { invite, user: user.peer, consent }, swarmId, peer)
}
