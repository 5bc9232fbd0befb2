/** Ed25519 (RFC 8032) by node:crypto; ed25519.noble.ts takes its place in a browser, chosen by `imports` of package.json. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { concatBytes, fromHex, toHex } from '../codec/bytes.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'
import { isReducedScalar, isSoundR, keyFault } from './admission.ts'
import { rememberWithin } from './bounded-cache.ts'

const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** DER heads of PKCS #8 and SPKI for Ed25519 (RFC 8410); the 32 key bytes follow. */
const PRIVATE_HEAD = fromHex('302e020100300506032b657004220420') ?? new Uint8Array()
const PUBLIC_HEAD = fromHex('302a300506032b6570032100') ?? new Uint8Array()

/** Parsing a key costs more than a signature does, so the parsed ones are kept, oldest out first. */
const privateKeys = new Map<string, KeyObject>()
const publicKeys = new Map<string, KeyObject>()

/** @param seed  the 32 secret bytes of RFC 8032, 5.1.5 */
export function keyFromSeed(seed: Uint8Array): { readonly publicKey: Uint8Array } {
  const spki = createPublicKey(privateKeyOf(seed)).export({ format: 'der', type: 'spki' })
  return { publicKey: new Uint8Array(spki.subarray(PUBLIC_HEAD.length)) }
}

/** @returns 64 bytes, the same for the same seed and message */
export function signBytes(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return new Uint8Array(sign(null, message, privateKeyOf(seed)))
}

/**
 * Verifies by the one rule of the protocol: an admissible key, S below L, R canonical and not of small order, and then
 * the cofactorless equation [S]B = R + [k]A over the bytes as they came.
 *
 * @returns false for anything else; never throws
 * @see docs/PROTOCOL.md#signatures
 */
export function verifyBytes(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES || !isSoundR(signature.subarray(0, 32))) return false
  if (!isReducedScalar(signature.subarray(32)) || keyFault(publicKey) !== undefined) return false
  return verify(null, message, publicKeyObject(publicKey), signature)
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  invariant(seed.length === KEY_BYTES, 'a seed is 32 bytes')
  return remembered(privateKeys, seed, () =>
    createPrivateKey({ key: Buffer.from(concatBytes(PRIVATE_HEAD, seed)), format: 'der', type: 'pkcs8' }),
  )
}

function publicKeyObject(key: Uint8Array): KeyObject {
  return remembered(publicKeys, key, () =>
    createPublicKey({ key: Buffer.from(concatBytes(PUBLIC_HEAD, key)), format: 'der', type: 'spki' }),
  )
}

function remembered(cache: Map<string, KeyObject>, key: Uint8Array, parse: () => KeyObject): KeyObject {
  const name = toHex(key)
  return cache.get(name) ?? rememberWithin(cache, name, parse(), LIMITS.admittedKeyCacheMax)
}
