/** Browser twin of x25519.ts, by noble: the same answer to every input, held by the conformance vectors. */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { x25519 } from '@noble/curves/ed25519.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256, sha512 } from '@noble/hashes/sha2.js'
import { concatBytes } from '../codec/bytes.ts'

const KEY_BYTES = 32

export function x25519Send(
  secret: Uint8Array,
  receiver: Uint8Array,
): { readonly publicKey: Uint8Array; readonly shared: Uint8Array } | undefined {
  const shared = x25519Receive(secret, receiver)
  return shared === undefined ? undefined : { publicKey: x25519.getPublicKey(secret), shared }
}

export function x25519Receive(secret: Uint8Array, sender: Uint8Array): Uint8Array | undefined {
  try {
    return x25519.getSharedSecret(secret, sender)
  } catch {
    // noble refuses a shared secret of zeros.
    return undefined
  }
}

export function x25519SecretOf(ed25519Seed: Uint8Array): Uint8Array {
  return sha512(ed25519Seed).slice(0, KEY_BYTES)
}

export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  return hmac(sha256, key, concatBytes(...parts))
}

export function aeadSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  return chacha20poly1305(key, nonce, aad).encrypt(plaintext)
}

export function aeadOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  try {
    return chacha20poly1305(key, nonce, aad).decrypt(sealed)
  } catch {
    return undefined
  }
}
