/** The X25519 public key of an Ed25519 identity: the birational map of RFC 7748, 4.1. */
import { etc, Point } from '@noble/ed25519'
import { fromHex } from '../codec/bytes.ts'
import { keyOf, type PeerId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'
import { scalarOf } from './admission.ts'
import { rememberWithin } from './bounded-cache.ts'

const P = Point.CURVE().p
const SIGN_BIT = 2n ** 255n
/** The map costs an inversion modulo p; an edge writes to the same few peers. */
const known = new Map<PeerId, Uint8Array>()

/**
 * u = (1 + y) / (1 - y), little-endian.
 *
 * Why it may be asked of any PeerId: y = 1 is of small order and so no admitted key, and of the two points that share a u a signature
 * tells which one a peer is; whoever derives a secret from u must bind the PeerId as well.
 *
 * @see docs/PROTOCOL.md#sealed-boxes
 */
export function montgomeryKeyOf(peer: PeerId): Uint8Array {
  return known.get(peer) ?? rememberWithin(known, peer, mapped(keyOf(peer)), LIMITS.admittedKeyCacheMax)
}

function mapped(publicKey: Uint8Array): Uint8Array {
  const y = scalarOf(publicKey) % SIGN_BIT
  invariant(y !== 1n && y < P, 'the key has been admitted')
  const u = etc.mod((1n + y) * etc.invert(etc.mod(1n - y, P), P), P)
  return littleEndian(u)
}

function littleEndian(value: bigint): Uint8Array {
  return (fromHex(value.toString(16).padStart(64, '0')) ?? new Uint8Array()).reverse()
}

/** Whether 32 bytes are the one encoding of a u-coordinate: below p. */
export function isCanonicalU(bytes: Uint8Array): boolean {
  return bytes.length === 32 && scalarOf(bytes) < P
}
