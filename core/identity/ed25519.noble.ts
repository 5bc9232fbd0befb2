/** Browser twin of ed25519.ts, by noble: the same answer to every input, held by the conformance vectors. */
import { getPublicKey, hashes, Point, sign } from '@noble/ed25519'
import { sha512 } from '@noble/hashes/sha2.js'
import { concatBytes, equalBytes } from '../codec/bytes.ts'
import { isReducedScalar, isSoundR, keyFault, scalarOf } from './admission.ts'

const SIGNATURE_BYTES = 64
const ORDER = Point.CURVE().n

hashes.sha512 = sha512

export function keyFromSeed(seed: Uint8Array): { readonly publicKey: Uint8Array } {
  return { publicKey: getPublicKey(seed) }
}

export function signBytes(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return sign(message, seed)
}

export function verifyBytes(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false
  const [encodedR, encodedS] = [signature.subarray(0, 32), signature.subarray(32)]
  if (!isSoundR(encodedR) || !isReducedScalar(encodedS) || keyFault(publicKey) !== undefined) return false
  return holdsCofactorless(publicKey, message, encodedR, scalarOf(encodedS))
}

/** noble's own verify multiplies by the cofactor: this one compares encodings, as OpenSSL does. */
function holdsCofactorless(publicKey: Uint8Array, message: Uint8Array, encodedR: Uint8Array, scalar: bigint): boolean {
  const challenge = scalarOf(sha512(concatBytes(encodedR, publicKey, message))) % ORDER
  const key = Point.fromBytes(publicKey)
  const expected = Point.BASE.multiply(scalar, false).subtract(key.multiply(challenge, false))
  return equalBytes(expected.toBytes(), encodedR)
}
