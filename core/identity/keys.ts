/** Identities: a peer or a user is its Ed25519 public key. */
import { keyFromSeed } from '#core/ed25519'
import { keyOf, type PeerId, peerIdOf } from '../ids.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { isKnownKey, keyFault } from './admission.ts'

export type KeyPair = {
  readonly peer: PeerId
  readonly publicKey: Uint8Array
  /** Secret: the 32 bytes of RFC 8032 that the key follows from. */
  readonly seed: Uint8Array
}

/** @param seed  32 bytes from a strong source; copied */
export function keyPairFromSeed(seed: Uint8Array): KeyPair {
  const { publicKey } = keyFromSeed(seed)
  return { peer: peerIdOf(publicKey), publicKey, seed: Uint8Array.from(seed) }
}

/**
 * Admits 32 bytes as somebody's key.
 *
 * @returns reject key_not_canonical, key_not_on_curve, key_small_order or key_not_torsion_free, in this precedence
 */
export function admitKey(publicKey: Uint8Array): Validation<PeerId> {
  const fault = keyFault(publicKey)
  return fault === undefined ? accept(peerIdOf(publicKey)) : reject(fault)
}

/** Whether this peer's key has been admitted lately; `false` may also mean forgotten. */
export function isAdmitted(peer: PeerId): boolean {
  return isKnownKey(keyOf(peer))
}
