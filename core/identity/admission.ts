/**
 * Which 32 bytes are a public key at all: canonical, on the curve, not of small order, free of torsion (RFC 8032, 5.1.3).
 * It is asked once per key, by noble in Node and in browsers alike, and both verifiers stand on the answer.
 */
import { Point } from '@noble/ed25519'
import { toHex } from '../codec/bytes.ts'
import { LIMITS } from '../limits.ts'
import type { RejectReason } from '../validation.ts'
import { rememberWithin } from './bounded-cache.ts'

export type KeyFault = Extract<RejectReason, `key_${string}`>

const KEY_BYTES = 32
/** Admitted keys only: a peer that sends bad keys cannot push good ones out. */
const admitted = new Map<string, true>()

/**
 * Finds what keeps 32 bytes from being a public key.
 *
 * Why: libraries disagree on such keys (one accepts a signature by the identity point over any message), so certificates
 * made with one would be refused by another. The torsion check costs about 3 ms, hence the cache.
 *
 * @returns undefined for an admissible key
 * @see docs/PROTOCOL.md#keys
 */
export function keyFault(publicKey: Uint8Array): KeyFault | undefined {
  const name = toHex(publicKey)
  if (admitted.has(name)) return undefined
  const fault = findFault(publicKey)
  if (fault === undefined) rememberWithin(admitted, name, true, LIMITS.admittedKeyCacheMax)
  return fault
}

/** Whether the key has been found admissible before and is still remembered; computes nothing. */
export function isKnownKey(publicKey: Uint8Array): boolean {
  return admitted.has(toHex(publicKey))
}

function findFault(publicKey: Uint8Array): KeyFault | undefined {
  if (publicKey.length !== KEY_BYTES || !isCanonicalPoint(publicKey)) return 'key_not_canonical'
  const point = parsePoint(publicKey)
  if (point === undefined) return 'key_not_on_curve'
  if (point.isSmallOrder()) return 'key_small_order'
  return point.isTorsionFree() ? undefined : 'key_not_torsion_free'
}

function parsePoint(bytes: Uint8Array): Point | undefined {
  try {
    return Point.fromBytes(bytes)
  } catch {
    return undefined
  }
}

/** True when the encoding is the only one of its point: y below p = 2^255 - 19, and no sign bit where x is zero. */
export function isCanonicalPoint(bytes: Uint8Array): boolean {
  return isBelowP(bytes) && !(isSigned(bytes) && hasZeroX(bytes))
}

const isSigned = (bytes: Uint8Array) => ((bytes[31] ?? 0) & 0x80) !== 0

function isBelowP(bytes: Uint8Array): boolean {
  if (((bytes[31] ?? 0) & 0x7f) !== 0x7f) return true
  for (let index = 30; index > 0; index -= 1) if (bytes[index] !== 0xff) return true
  return (bytes[0] ?? 0) < 0xed
}

/** x is zero at y = 1 and y = p - 1 only. */
function hasZeroX(bytes: Uint8Array): boolean {
  const unsigned = bytes.slice()
  unsigned[31] = (unsigned[31] ?? 0) & 0x7f
  const y = toHex(unsigned)
  return y === Y_ONE || y === Y_MINUS_ONE
}

const Y_ONE = `01${'00'.repeat(31)}`
const Y_MINUS_ONE = `ec${'ff'.repeat(30)}7f`

/** The eight points whose order divides 8, in canonical encoding. */
const SMALL_ORDER_POINTS = new Set([
  Y_ONE,
  Y_MINUS_ONE,
  '00'.repeat(32),
  `${'00'.repeat(31)}80`,
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
])

/** What is asked of the R of a signature, in both verifiers, before any arithmetic. */
export function isSoundR(encoded: Uint8Array): boolean {
  return isCanonicalPoint(encoded) && !SMALL_ORDER_POINTS.has(toHex(encoded))
}

const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

/** The scalar S of a signature is below the group order L: S + L would be a second signature on the same message. */
export function isReducedScalar(encoded: Uint8Array): boolean {
  return scalarOf(encoded) < ORDER
}

/** @param encoded  little-endian */
export function scalarOf(encoded: Uint8Array): bigint {
  return BigInt(`0x${toHex(encoded.slice().reverse())}`)
}
