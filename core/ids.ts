/** Branded identifiers: text in memory (map keys, JSON), raw bytes on the wire. */
import { fromBase32, fromHex, toBase32, toHex } from './codec/bytes.ts'

/** `cf1` + lowercase unpadded base32 of the 32-byte Ed25519 public key: 55 characters. */
export type PeerId = string & { readonly brand: 'PeerId' }
/** A user is a key too; the same text form as a PeerId. */
export type UserId = PeerId
/** Lowercase hex of 32 bytes. */
export type Digest = string & { readonly brand: 'Digest' }
export type JobId = Digest & { readonly of: 'job' }
/** Digest of the genesis body. */
export type SwarmId = Digest & { readonly of: 'swarm' }
/** `user/<PeerId>` | `node/<PeerId>` | `platform/<region>` | `mint` */
export type AccountId = string & { readonly brand: 'AccountId' }

const PEER_ID = /^cf1[a-z2-7]{52}$/
const DIGEST = /^[0-9a-f]{64}$/
const REGION = /^[a-z0-9-]{1,32}$/
const KEY_BYTES = 32

export function parsePeerId(text: unknown): PeerId | undefined {
  if (typeof text !== 'string' || !PEER_ID.test(text)) return undefined
  const key = fromBase32(text.slice(3))
  // 52 base32 characters carry 260 bits: without this, sixteen texts would name one key.
  return key !== undefined && peerIdOf(key) === text ? (text as PeerId) : undefined
}

export function parseDigest(text: unknown): Digest | undefined {
  return typeof text === 'string' && DIGEST.test(text) ? (text as Digest) : undefined
}

export function parseJobId(text: unknown): JobId | undefined {
  return parseDigest(text) as JobId | undefined
}

export function parseSwarmId(text: unknown): SwarmId | undefined {
  return parseDigest(text) as SwarmId | undefined
}

export function parseRegion(text: unknown): string | undefined {
  return typeof text === 'string' && REGION.test(text) ? text : undefined
}

export function parseAccountId(text: unknown): AccountId | undefined {
  if (typeof text !== 'string') return undefined
  if (text === 'mint') return text as AccountId
  const slash = text.indexOf('/')
  const [kind, name] = [text.slice(0, slash), text.slice(slash + 1)]
  if ((kind === 'user' || kind === 'node') && parsePeerId(name)) return text as AccountId
  return kind === 'platform' && parseRegion(name) ? (text as AccountId) : undefined
}

/** @param key  32 bytes, an Ed25519 public key */
export function peerIdOf(key: Uint8Array): PeerId {
  return `cf1${toBase32(key)}` as PeerId
}

/** @returns 32 bytes */
export function keyOf(peer: PeerId): Uint8Array {
  return fromBase32(peer.slice(3)) ?? new Uint8Array(KEY_BYTES)
}

/** @param bytes  32 bytes */
export function digestOf(bytes: Uint8Array): Digest {
  return toHex(bytes) as Digest
}

export function digestBytes(digest: Digest): Uint8Array {
  return fromHex(digest) ?? new Uint8Array(KEY_BYTES)
}

export const MINT_ACCOUNT = 'mint' as AccountId
export const userAccount = (user: UserId): AccountId => `user/${user}` as AccountId
export const nodeAccount = (peer: PeerId): AccountId => `node/${peer}` as AccountId
export const platformAccount = (region: string): AccountId => `platform/${region}` as AccountId
