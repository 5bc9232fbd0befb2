/**
 * Signatures that this process has made or verified before, so that it verifies each of them once: in a swarm of one process every
 * envelope and vote is sealed, opened, judged, logged and put into receipts by roles that share one core.
 */
import { keyFromSeed, signBytes, verifyBytes } from '#core/ed25519'
import { sha256 } from '#core/hash'
import { toHex } from '../codec/bytes.ts'
import { LIMITS } from '../limits.ts'
import { rememberWithin } from './bounded-cache.ts'

/**
 * Names of valid signatures in two generations, each of half the bound: when the younger one is full, the older one is forgotten.
 *
 * Why this may be module state: verification is a pure function of key, message and signature, and a name is the SHA-256 of all
 * three, key and signature being of fixed length. Whatever is changed in any of them has another name and is verified. The message
 * holds the type, the swarm and the body (envelopes) or the swarm and the whole statement (votes). Only what was found valid is
 * remembered, so that whoever sends forgeries pushes nothing out.
 */
let young = new Set<string>()
let old = new Set<string>()
/** Public keys of the seeds that sign here. */
const publicKeys = new Map<string, Uint8Array>()

/**
 * Signs, and remembers that the result is valid under the key that follows from the seed, whatever key the caller believes it to be.
 *
 * @param seed  the 32 secret bytes of RFC 8032, 5.1.5
 */
export function signOnce(seed: Uint8Array, message: Uint8Array): Uint8Array {
  const signature = signBytes(seed, message)
  remember(nameOf(publicKeyOf(seed), message, signature))
  return signature
}

/** The same answer as `verifyBytes`, computed at most once while it is remembered. */
export function verifyOnce(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  // Of other lengths two inputs could have one name.
  if (publicKey.length !== 32 || signature.length !== 64) return false
  const name = nameOf(publicKey, message, signature)
  if (young.has(name)) return true
  if (!old.has(name) && !verifyBytes(publicKey, message, signature)) return false
  remember(name)
  return true
}

/** Forgets every signature: what a benchmark does to see the price of verification. */
export function forgetSignatures(): void {
  young = new Set()
  old = new Set()
}

function remember(name: string): void {
  if (young.size >= LIMITS.verifiedSignatureCacheMax / 2) {
    old = young
    young = new Set()
  }
  young.add(name)
}

function nameOf(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): string {
  return toHex(sha256(publicKey, signature, message))
}

function publicKeyOf(seed: Uint8Array): Uint8Array {
  const name = toHex(seed)
  return (
    publicKeys.get(name) ?? rememberWithin(publicKeys, name, keyFromSeed(seed).publicKey, LIMITS.admittedKeyCacheMax)
  )
}
