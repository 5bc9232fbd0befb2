/** Hostile keys and signatures, made with the curve itself: what no library hands out. Scalars are not secret here. */
import { Point } from '@noble/ed25519'
import { sha512 } from '@noble/hashes/sha2.js'
import { concatBytes, fromHex, toHex, u32be } from '../../../core/codec/bytes.ts'
import { scalarOf } from '../../../core/identity/admission.ts'

export const ORDER = Point.CURVE().n
export const IDENTITY = `01${'00'.repeat(31)}`
/** A point of order 8; its multiples are the torsion subgroup. */
export const TORSION = Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')

export function hexBytes(hex: string): Uint8Array {
  return fromHex(hex) ?? new Uint8Array()
}

export function scalarBytes(scalar: bigint): Uint8Array {
  return hexBytes(scalar.toString(16).padStart(64, '0')).reverse()
}

/** Hash of R, key and message, reduced: the k of RFC 8032, 5.1.7. */
export function challengeOf(encodedR: Uint8Array, key: Uint8Array, message: Uint8Array): bigint {
  return scalarOf(sha512(concatBytes(encodedR, key, message))) % ORDER
}

/** Signs with a bare scalar and any R that is written: S = r + k * a. */
export function forge(
  secret: bigint,
  nonce: bigint,
  encodedR: Uint8Array,
  key: Uint8Array,
  message: Uint8Array,
): string {
  const scalar = (nonce + challengeOf(encodedR, key, message) * secret) % ORDER
  return toHex(concatBytes(encodedR, scalarBytes(scalar)))
}

/** The first counter message for which the challenge fits: under a mixed key only one signature in eight satisfies the equation. */
export function grind(fits: (message: Uint8Array) => boolean): Uint8Array {
  for (let counter = 0; counter < 4_096; counter += 1) {
    const message = u32be(counter)
    if (fits(message)) return message
  }
  return new Uint8Array()
}
