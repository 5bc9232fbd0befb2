import { signBytes } from '#core/ed25519'
import { domainHash } from '#core/hash'
import { concatBytes, toHex, utf8 } from '../../../core/codec/bytes.ts'
import { encodeWire, type Wire } from '../../../core/codec/canonical.ts'
import { encodeEnvelope, seal, signedBytes } from '../../../core/identity/envelope.ts'
import { keyPairFromSeed } from '../../../core/identity/keys.ts'
import { digestOf, parseSwarmId, type SwarmId } from '../../../core/ids.ts'
import type { RejectReason } from '../../../core/validation.ts'
import type { VectorCase, VectorFile } from '../vector.ts'
import { hexBytes, IDENTITY, scalarBytes, TORSION } from './points.ts'

const TYPE = 'intent'
const SWARM = swarmNamed('swarm')
const KEY = keyPairFromSeed(domainHash('vector-key'))
const BODY = encodeWire([1, 'hello', 5n])
const SIGNATURE = signBytes(KEY.seed, signedBytes(TYPE, SWARM, BODY))
const PARTS: readonly Wire[] = [1, TYPE, BODY, KEY.publicKey, SIGNATURE]

function swarmNamed(name: string): SwarmId {
  return parseSwarmId(digestOf(domainHash('vector', utf8(name)))) ?? (digestOf(new Uint8Array(32)) as SwarmId)
}

export function envelopeVectors(): VectorFile {
  return {
    name: 'envelope',
    describe:
      'Open the bytes as an envelope of the type, in the swarm. The body of an envelope is opaque at this step.',
    cases: [...acceptedCases(), ...refusedCases(), ...reboundCases()],
  }
}

function acceptedCases(): VectorCase[] {
  const bodies: readonly (readonly [string, string, SwarmId, Uint8Array])[] = [
    ['a short body', TYPE, SWARM, BODY],
    ['an empty body', TYPE, SWARM, new Uint8Array()],
    ['a body of 255 bytes', TYPE, SWARM, new Uint8Array(255).fill(1)],
    ['a body of 256 bytes', TYPE, SWARM, new Uint8Array(256).fill(1)],
    ['a body that is no MessagePack', TYPE, SWARM, Uint8Array.of(0xc1)],
    ['the longest type', 'a'.repeat(32), SWARM, BODY],
    ['another swarm', TYPE, swarmNamed('other'), BODY],
  ]
  return bodies.map(([name, type, swarmId, body]) => ({
    name,
    accept: true,
    input: { bytes: toHex(encodeEnvelope(seal(type, swarmId, body, KEY))), type, swarmId },
    expect: { signer: KEY.peer, body: toHex(body), signedBytes: toHex(signedBytes(type, swarmId, body)) },
  }))
}

function refused(
  name: string,
  reason: RejectReason,
  bytes: Uint8Array,
  swarmId: SwarmId = SWARM,
  type: string = TYPE,
): VectorCase {
  return { name, accept: false, input: { bytes: toHex(bytes), type, swarmId }, expect: { reason } }
}

function refusedCases(): VectorCase[] {
  const good = encodeWire(PARTS)
  const withPart = (index: number, part: Wire) => encodeWire(PARTS.with(index, part))
  return [
    refused('a byte after the envelope', 'bytes_trailing', concatBytes(good, Uint8Array.of(0))),
    refused('the last byte cut off', 'bytes_truncated', good.subarray(0, -1)),
    refused(
      'a type with a longer length form',
      'bytes_not_canonical',
      concatBytes(good.subarray(0, 2), Uint8Array.of(0xd9, 6), good.subarray(3)),
    ),
    refused('no array', 'body_malformed', encodeWire('envelope')),
    refused('version 2', 'version_unknown', withPart(0, 2)),
    refused('an empty array', 'version_unknown', encodeWire([])),
    refused('four parts', 'body_malformed', encodeWire(PARTS.slice(0, 4))),
    refused('six parts', 'body_malformed', encodeWire([...PARTS, 0])),
    refused('a type that is a number', 'body_malformed', withPart(1, 1)),
    refused('a type with a capital', 'body_malformed', withPart(1, 'Intent')),
    refused('a type of 33 bytes', 'body_malformed', withPart(1, 'a'.repeat(33))),
    refused('a type with a zero byte', 'body_malformed', withPart(1, 'intent\0')),
    refused('a body that is a text', 'body_malformed', withPart(2, 'hello')),
    refused('a body that is an array', 'body_malformed', withPart(2, [1, 'hello', 5n])),
    refused('a key of 31 bytes', 'key_not_canonical', withPart(3, KEY.publicKey.subarray(1))),
    refused('the identity as key', 'key_small_order', withPart(3, hexBytes(IDENTITY))),
    refused('a key of order 8', 'key_small_order', withPart(3, TORSION.toBytes())),
    refused('a key off the curve', 'key_not_on_curve', withPart(3, scalarBytes(2n))),
    refused('a signature of 63 bytes', 'signature_malformed', withPart(4, SIGNATURE.subarray(1))),
    refused('an empty signature', 'signature_malformed', withPart(4, new Uint8Array())),
  ]
}

/** Each is a good signature over something else. */
function reboundCases(): VectorCase[] {
  const good = encodeWire(PARTS)
  const other = keyPairFromSeed(domainHash('vector-key-2'))
  const signedAs = (message: Uint8Array) => encodeWire(PARTS.with(4, signBytes(KEY.seed, message)))
  return [
    refused('expected as another type', 'envelope_type_mismatch', good, SWARM, 'mint'),
    refused('opened in another swarm', 'signature_invalid', good, swarmNamed('other')),
    refused('renamed to another type', 'signature_invalid', encodeWire(PARTS.with(1, 'mint')), SWARM, 'mint'),
    refused("under another peer's key", 'signature_invalid', encodeWire(PARTS.with(3, other.publicKey))),
    refused('another body', 'signature_invalid', encodeWire(PARTS.with(2, encodeWire([1, 'hello', 6n])))),
    refused('signed without the domain', 'signature_invalid', signedAs(BODY)),
    refused(
      'signed without the swarm',
      'signature_invalid',
      signedAs(concatBytes(utf8(`cfab/${TYPE}/v1`), new Uint8Array(1), BODY)),
    ),
    refused(
      'signed without the separator',
      'signature_invalid',
      signedAs(concatBytes(utf8(`cfab/${TYPE}/v1`), hexBytes(SWARM), BODY)),
    ),
  ]
}
