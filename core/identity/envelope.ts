/** Envelopes: a type, body bytes and one signature over both, bound to one swarm (in the manner of DSSE). */
import { concatBytes, domainHead } from '../codec/bytes.ts'
import { decodeWire, encodeWire, type Wire } from '../codec/canonical.ts'
import type { BodyCodec } from '../codec/schema.ts'
import { digestBytes, keyOf, type PeerId, type SwarmId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { admitKey, type KeyPair } from './keys.ts'
import { signOnce, verifyOnce } from './signatures.ts'

export type Envelope = {
  readonly type: string
  /** The bytes that were signed; nobody re-encodes to verify. */
  readonly body: Uint8Array
  readonly signer: PeerId
  readonly signature: Uint8Array
}

export type Opened<T> = {
  readonly value: T
  readonly signer: PeerId
  readonly body: Uint8Array
  /** As it came: what is stored and passed on. */
  readonly envelope: Uint8Array
}

/** What parses, of a signer whose key is admitted; whether it signed is asked when it matters. */
export type Unverified<T> = Opened<T> & { readonly isSigned: () => boolean }

const VERSION = 1
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** A type holds no zero byte, so the separator ends it and no type is another's beginning. */
const TYPE = /^[a-z0-9-]{1,32}$/
/** Most that an envelope adds to its body: array and version 2, type 2 + 32, length of the body 5, key 2 + 32, signature 2 + 64. */
export const ENVELOPE_OVERHEAD_BYTES = 141

/** "cfab/<type>/v1" || 0x00 || swarmId || body: a signature for one type or swarm says nothing in another. */
export function signedBytes(type: string, swarmId: SwarmId, body: Uint8Array): Uint8Array {
  invariant(TYPE.test(type), 'an envelope type is a short lowercase word')
  return concatBytes(domainHead(type), digestBytes(swarmId), body)
}

export function seal(type: string, swarmId: SwarmId, body: Uint8Array, key: KeyPair): Envelope {
  return { type, body, signer: key.peer, signature: signOnce(key.seed, signedBytes(type, swarmId, body)) }
}

/** [1, type, body, signer's key, signature] */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  return encodeWire([VERSION, envelope.type, envelope.body, keyOf(envelope.signer), envelope.signature])
}

/** Encodes, seals and wraps a body in one step. */
export function sealAs<T>(codec: BodyCodec<T>, value: T, swarmId: SwarmId, key: KeyPair): Uint8Array {
  return encodeEnvelope(seal(codec.type, swarmId, codec.encode(value), key))
}

/**
 * Opens an envelope: structure, type, key, signature, in this order; the body is not parsed yet.
 *
 * Why this order: each step is cheaper than the next, and nothing is remembered of a message before its signature holds.
 *
 * @param bytesMax  bound on the whole envelope
 * @see docs/PROTOCOL.md#envelopes
 */
export function openEnvelope(
  bytes: Uint8Array,
  expectedType: string,
  swarmId: SwarmId,
  bytesMax: number = LIMITS.envelopeBytesMax,
): Validation<Envelope> {
  const parsed = parseEnvelope(bytes, expectedType, bytesMax)
  if (parsed.action === 'accept' && !isSigned(parsed.value, swarmId)) return reject('signature_invalid')
  return parsed
}

function parseEnvelope(bytes: Uint8Array, expectedType: string, bytesMax: number): Validation<Envelope> {
  const decoded = decodeWire(bytes, bytesMax)
  if (decoded.action !== 'accept') return decoded
  const parts = parseParts(decoded.value)
  if (parts.action !== 'accept') return parts
  const { type, body, key, signature } = parts.value
  if (type !== expectedType) return reject('envelope_type_mismatch')
  const admitted = admitKey(key)
  if (admitted.action !== 'accept') return admitted
  if (signature.length !== SIGNATURE_BYTES) return reject('signature_malformed')
  return accept({ type, body, signer: admitted.value, signature })
}

function isSigned({ type, body, signer, signature }: Envelope, swarmId: SwarmId): boolean {
  return verifyOnce(keyOf(signer), signedBytes(type, swarmId, body), signature)
}

/** Opens an envelope and then parses its body; the bytes that were signed stay beside the value. */
export function openAs<T>(codec: BodyCodec<T>, bytes: Uint8Array, swarmId: SwarmId): Validation<Opened<T>> {
  const opened = openEnvelope(bytes, codec.type, swarmId, codec.bytesMax + ENVELOPE_OVERHEAD_BYTES)
  if (opened.action !== 'accept') return opened
  const { signer, body } = opened.value
  const value = codec.decode(body)
  if (value.action !== 'accept') return value
  return accept({ value: value.value, signer, body, envelope: Uint8Array.from(bytes) })
}

/**
 * Opens an envelope and parses its body without the signature.
 *
 * Why there is such a thing: where each message names the one before by its hash, one signature speaks for all that it follows. Whoever
 * reads so must ask `isSigned` before anything of it leaves the stream that it came by.
 */
export function readAs<T>(codec: BodyCodec<T>, bytes: Uint8Array, swarmId: SwarmId): Validation<Unverified<T>> {
  const parsed = parseEnvelope(bytes, codec.type, codec.bytesMax + ENVELOPE_OVERHEAD_BYTES)
  if (parsed.action !== 'accept') return parsed
  const { signer, body } = parsed.value
  const value = codec.decode(body)
  if (value.action !== 'accept') return value
  const opened = { value: value.value, signer, body, envelope: Uint8Array.from(bytes) }
  return accept({ ...opened, isSigned: () => isSigned(parsed.value, swarmId) })
}

type Parts = { type: string; body: Uint8Array; key: Uint8Array; signature: Uint8Array }

function parseParts(wire: Wire): Validation<Parts> {
  if (!Array.isArray(wire)) return reject('body_malformed', 'envelope')
  const [version, type, body, key, signature, ...rest]: readonly Wire[] = wire
  if (version !== VERSION) return reject('version_unknown', 'envelope')
  if (typeof type !== 'string' || !TYPE.test(type) || rest.length > 0) return reject('body_malformed', 'envelope')
  if (!(body instanceof Uint8Array && key instanceof Uint8Array && signature instanceof Uint8Array)) {
    return reject('body_malformed', 'envelope')
  }
  return key.length === KEY_BYTES ? accept({ type, body, key, signature }) : reject('key_not_canonical')
}
