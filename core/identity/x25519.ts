/** X25519 (RFC 7748), ChaCha20-Poly1305 (RFC 8439) and HMAC-SHA-256 (RFC 2104) by node:crypto; x25519.noble.ts is the browser twin. */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  hash,
  type KeyObject,
} from 'node:crypto'
import { sha256 } from '#core/hash'
import { concatBytes, fromHex, toHex } from '../codec/bytes.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'
import { rememberWithin } from './bounded-cache.ts'

const KEY_BYTES = 32
const TAG_BYTES = 16
/** Of SHA-256. */
const BLOCK_BYTES = 64
const AEAD = 'chacha20-poly1305'
/** DER heads of PKCS #8 and SPKI for X25519 (RFC 8410); the 32 key bytes follow. */
const PRIVATE_HEAD = fromHex('302e020100300506032b656e04220420') ?? new Uint8Array()
const PUBLIC_HEAD = fromHex('302a300506032b656e032100') ?? new Uint8Array()

/** Parsing a key costs as much as using it: own keys and those of receivers are kept, oldest out first, and ephemeral ones are not. */
const ownKeys = new Map<string, KeyObject>()
const receiverKeys = new Map<string, KeyObject>()

/**
 * The sender's side of a key agreement.
 *
 * @param secret    32 bytes that are used once; clamped as RFC 7748 has it
 * @param receiver  its public key
 * @returns         undefined when what is shared is zero, as it is with every public key of small order
 */
export function x25519Send(
  secret: Uint8Array,
  receiver: Uint8Array,
): { readonly publicKey: Uint8Array; readonly shared: Uint8Array } | undefined {
  const privateKey = parsePrivate(secret)
  const shared = agree(
    privateKey,
    remembered(receiverKeys, receiver, () => parsePublic(receiver)),
  )
  const { x = '' } = privateKey.export({ format: 'jwk' })
  return shared === undefined ? undefined : { publicKey: new Uint8Array(Buffer.from(x, 'base64url')), shared }
}

/**
 * The receiver's side.
 *
 * @param secret  its own, used often
 * @param sender  an ephemeral public key
 * @returns       as `x25519Send`
 */
export function x25519Receive(secret: Uint8Array, sender: Uint8Array): Uint8Array | undefined {
  return agree(
    remembered(ownKeys, secret, () => parsePrivate(secret)),
    parsePublic(sender),
  )
}

/** The secret scalar that an Ed25519 seed stands for (RFC 8032, 5.1.5), before it is clamped. */
export function x25519SecretOf(ed25519Seed: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha512', ed25519Seed, 'buffer').subarray(0, KEY_BYTES))
}

/**
 * RFC 2104, of two one-shot hashes: node:crypto's own costs three times as much for messages as short as these.
 *
 * @param key  at most one block
 */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  invariant(key.length <= BLOCK_BYTES, 'a key within a block')
  const [inner, outer] = [new Uint8Array(BLOCK_BYTES).fill(0x36), new Uint8Array(BLOCK_BYTES).fill(0x5c)]
  for (const [place, byte] of key.entries()) {
    inner[place] = byte ^ 0x36
    outer[place] = byte ^ 0x5c
  }
  return sha256(outer, sha256(inner, ...parts))
}

/**
 * Why the key is wrapped: of bare bytes node:crypto first asks, at three times the cost of the cipher, whether they are a key object.
 *
 * @returns the ciphertext and behind it a tag of 16 bytes
 */
export function aeadSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv(AEAD, createSecretKey(key), nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(aad, { plaintextLength: plaintext.length })
  return concatBytes(cipher.update(plaintext), cipher.final(), cipher.getAuthTag())
}

/** @returns undefined when the tag does not fit */
export function aeadOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < TAG_BYTES) return undefined
  const end = sealed.length - TAG_BYTES
  const decipher = createDecipheriv(AEAD, createSecretKey(key), nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(aad, { plaintextLength: end })
  decipher.setAuthTag(sealed.subarray(end))
  const plaintext = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return new Uint8Array(plaintext)
}

function agree(privateKey: KeyObject, publicKey: KeyObject): Uint8Array | undefined {
  try {
    return new Uint8Array(diffieHellman({ privateKey, publicKey }))
  } catch {
    // OpenSSL refuses a shared secret of zeros.
    return undefined
  }
}

function parsePrivate(secret: Uint8Array): KeyObject {
  invariant(secret.length === KEY_BYTES, 'an X25519 secret is 32 bytes')
  return createPrivateKey({ key: Buffer.from(concatBytes(PRIVATE_HEAD, secret)), format: 'der', type: 'pkcs8' })
}

function parsePublic(key: Uint8Array): KeyObject {
  invariant(key.length === KEY_BYTES, 'an X25519 public key is 32 bytes')
  return createPublicKey({ key: Buffer.from(concatBytes(PUBLIC_HEAD, key)), format: 'der', type: 'spki' })
}

function remembered(cache: Map<string, KeyObject>, key: Uint8Array, parse: () => KeyObject): KeyObject {
  const name = toHex(key)
  return cache.get(name) ?? rememberWithin(cache, name, parse(), LIMITS.admittedKeyCacheMax)
}
