import { Point } from '@noble/ed25519'
import { signBytes } from '#core/ed25519'
import { sha256 } from '#core/hash'
import { toHex, u32be } from '../../../core/codec/bytes.ts'
import { keyPairFromSeed } from '../../../core/identity/keys.ts'
import { peerIdOf } from '../../../core/ids.ts'
import type { RejectReason } from '../../../core/validation.ts'
import type { VectorCase, VectorFile } from '../vector.ts'
import { challengeOf, forge, grind, hexBytes, IDENTITY, ORDER, scalarBytes, TORSION } from './points.ts'

const P_PLUS_ONE = `ee${'ff'.repeat(30)}7f`
const SECRET = 0x1234_5678_9abc_def0_1234_5678n
const NONCE = 0x0fed_cba9_8765_4321n
const CLEAN = Point.BASE.multiply(SECRET)
const CLEAN_KEY = CLEAN.toBytes()
const MIXED_KEY = CLEAN.add(TORSION).toBytes()
const HONEST_R = Point.BASE.multiply(NONCE).toBytes()
const MESSAGE = new TextEncoder().encode('pay the bearer')

/** RFC 8032, 7.1: TEST 1, 2, 3 and SHA(abc). */
const RFC_8032: readonly (readonly [string, string, string])[] = [
  ['RFC 8032 test 1', '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', ''],
  ['RFC 8032 test 2', '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', '72'],
  ['RFC 8032 test 3', 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7', 'af82'],
  [
    'RFC 8032 test SHA(abc)',
    '833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42',
    'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
  ],
]

const KEYS: readonly (readonly [string, string, RejectReason | undefined])[] = [
  ['the base point', toHex(Point.BASE.toBytes()), undefined],
  ['a key of prime order', toHex(CLEAN_KEY), undefined],
  ['a key with its sign bit set', toHex(CLEAN.negate().toBytes()), undefined],
  ['the identity', IDENTITY, 'key_small_order'],
  ['the point of order 2', `ec${'ff'.repeat(30)}7f`, 'key_small_order'],
  ['a point of order 4', '00'.repeat(32), 'key_small_order'],
  ['the other point of order 4', `${'00'.repeat(31)}80`, 'key_small_order'],
  ...[1n, 3n, 5n, 7n].map(
    (factor) => [`point ${factor} of order 8`, toHex(TORSION.multiply(factor).toBytes()), 'key_small_order'] as const,
  ),
  ['the identity with a sign bit', `${IDENTITY.slice(0, 62)}80`, 'key_not_canonical'],
  ['the point of order 2 with a sign bit', `ec${'ff'.repeat(31)}`, 'key_not_canonical'],
  ['y = p', `ed${'ff'.repeat(30)}7f`, 'key_not_canonical'],
  ['y = p + 1', P_PLUS_ONE, 'key_not_canonical'],
  ['y = p + 1 with a sign bit', `ee${'ff'.repeat(31)}`, 'key_not_canonical'],
  ['y = p + 3, a point of large order written otherwise', `f0${'ff'.repeat(30)}7f`, 'key_not_canonical'],
  ['y = 2^255 - 1', `${'ff'.repeat(31)}7f`, 'key_not_canonical'],
  ['y = 2, off the curve', `02${'00'.repeat(31)}`, 'key_not_on_curve'],
  ...[1n, 2n, 4n].map(
    (factor) =>
      [
        `a key plus ${factor} times a point of order 8`,
        toHex(CLEAN.add(TORSION.multiply(factor)).toBytes()),
        'key_not_torsion_free',
      ] as const,
  ),
  ['31 bytes', toHex(CLEAN_KEY.subarray(1)), 'key_not_canonical'],
  ['33 bytes', `${toHex(CLEAN_KEY)}00`, 'key_not_canonical'],
  ['no bytes', '', 'key_not_canonical'],
]

export function keyVectors(): VectorFile {
  return {
    name: 'keys',
    describe:
      'Without a signature: is the key admitted. With one: does it verify; a seed, where given, must give this key and signature.',
    cases: [...KEYS.map(keyCase), ...honestCases(), ...malformedCases(), ...pointRCases(), ...hostileKeyCases()],
  }
}

function keyCase([name, publicKey, reason]: (typeof KEYS)[number]): VectorCase {
  if (reason !== undefined) return { name, accept: false, input: { publicKey }, expect: { reason } }
  return { name, accept: true, input: { publicKey }, expect: { peer: peerIdOf(hexBytes(publicKey)) } }
}

function signatureCase(
  name: string,
  accept: boolean,
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: string,
): VectorCase {
  return { name, accept, input: { publicKey: toHex(publicKey), message: toHex(message), signature }, expect: {} }
}

function seededCase(name: string, seed: Uint8Array, message: Uint8Array): VectorCase {
  const { publicKey } = keyPairFromSeed(seed)
  const made = signatureCase(name, true, publicKey, message, toHex(signBytes(seed, message)))
  return { ...made, input: { ...made.input, seed: toHex(seed) } }
}

function honestCases(): VectorCase[] {
  const lengths = [0, 1, 31, 32, 33, 111, 112, 127, 128, 129, 400, 1_024]
  return [
    ...RFC_8032.map(([name, seed, message]) => seededCase(name, hexBytes(seed), hexBytes(message))),
    ...lengths.map((length) =>
      seededCase(`a message of ${length} bytes`, sha256(u32be(length)), new Uint8Array(length).fill(0xa5)),
    ),
    signatureCase(
      'a signature made with a bare scalar',
      true,
      CLEAN_KEY,
      MESSAGE,
      forge(SECRET, NONCE, HONEST_R, CLEAN_KEY, MESSAGE),
    ),
    signatureCase(
      'a second signature of the bare scalar',
      true,
      CLEAN_KEY,
      u32be(0),
      forge(SECRET, NONCE, HONEST_R, CLEAN_KEY, u32be(0)),
    ),
  ]
}

function malformedCases(): VectorCase[] {
  const good = forge(SECRET, NONCE, HONEST_R, CLEAN_KEY, MESSAGE)
  const [encodedR, scalar] = [good.slice(0, 64), BigInt(`0x${toHex(hexBytes(good.slice(64)).reverse())}`)]
  const withScalar = (value: bigint) => encodedR + toHex(scalarBytes(value))
  const cases: readonly (readonly [string, string])[] = [
    ['S + L, the second signature of a malleable scheme', withScalar(scalar + ORDER)],
    ['S + 8L', withScalar(scalar + 8n * ORDER)],
    ['S = L', withScalar(ORDER)],
    ['S = 2^256 - 1', withScalar(2n ** 256n - 1n)],
    ['S = 0', withScalar(0n)],
    ['S + 1', withScalar(scalar + 1n)],
    ['the negated S', withScalar(ORDER - scalar)],
    ['63 bytes', good.slice(0, 126)],
    ['65 bytes', `${good}00`],
    ['no signature', ''],
    ['R and S exchanged', good.slice(64) + encodedR],
  ]
  return [
    ...cases.map(([name, signature]) => signatureCase(`signature: ${name}`, false, CLEAN_KEY, MESSAGE, signature)),
    signatureCase('signature: another message', false, CLEAN_KEY, MESSAGE.with(0, 0x50), good),
    signatureCase('signature: another key', false, Point.BASE.toBytes(), MESSAGE, good),
    signatureCase('signature: the negated key', false, CLEAN.negate().toBytes(), MESSAGE, good),
  ]
}

/** R forms under an honest key. With r = 0 or a torsion part the plain equation holds, or holds times eight, for some rules. */
function pointRCases(): VectorCase[] {
  const torsion = [...Array(7).keys()].map((index) => TORSION.multiply(BigInt(index + 1)))
  const forms: readonly (readonly [string, bigint, Uint8Array])[] = [
    ['the identity', 0n, hexBytes(IDENTITY)],
    ['the identity written as y = p + 1', 0n, hexBytes(P_PLUS_ONE)],
    ['the identity with a sign bit', 0n, hexBytes(`${IDENTITY.slice(0, 62)}80`)],
    ['y = p, a point of order 4', 0n, hexBytes(`ed${'ff'.repeat(30)}7f`)],
    ['off the curve', NONCE, hexBytes(`02${'00'.repeat(31)}`)],
    ['y = p + 3, of large order, not canonical', NONCE, hexBytes(`f0${'ff'.repeat(30)}7f`)],
    ...torsion.map((point, index) => [`${index + 1} times a point of order 8`, 0n, point.toBytes()] as const),
    ['honest plus a point of order 8', NONCE, Point.BASE.multiply(NONCE).add(TORSION).toBytes()],
    ['honest plus the point of order 2', NONCE, Point.BASE.multiply(NONCE).add(TORSION.multiply(4n)).toBytes()],
    ['honest, negated', NONCE, Point.BASE.multiply(NONCE).negate().toBytes()],
  ]
  return forms.map(([name, nonce, encodedR]) =>
    signatureCase(`R: ${name}`, false, CLEAN_KEY, MESSAGE, forge(SECRET, nonce, encodedR, CLEAN_KEY, MESSAGE)),
  )
}

function hostileKeyCases(): VectorCase[] {
  const [identity, aliased, order8] = [hexBytes(IDENTITY), hexBytes(P_PLUS_ONE), TORSION.toBytes()]
  const divisible = (key: Uint8Array) => (message: Uint8Array) => challengeOf(HONEST_R, key, message) % 8n === 0n
  const odd = (key: Uint8Array) => (message: Uint8Array) => challengeOf(HONEST_R, key, message) % 8n === 1n
  const onMixed = (name: string, message: Uint8Array) =>
    signatureCase(
      `key: mixed order, ${name}`,
      false,
      MIXED_KEY,
      message,
      forge(SECRET, NONCE, HONEST_R, MIXED_KEY, message),
    )
  return [
    signatureCase(
      'key: identity, R identity, S = 0, good for any message',
      false,
      identity,
      MESSAGE,
      forge(0n, 0n, identity, identity, MESSAGE),
    ),
    signatureCase('key: identity, honest R', false, identity, MESSAGE, forge(0n, NONCE, HONEST_R, identity, MESSAGE)),
    signatureCase('key: y = p + 1, R identity', false, aliased, MESSAGE, forge(0n, 0n, identity, aliased, MESSAGE)),
    signatureCase('key: y = p + 1, honest R', false, aliased, MESSAGE, forge(0n, NONCE, HONEST_R, aliased, MESSAGE)),
    signatureCase(
      'key: order 8, a ground message',
      false,
      order8,
      grind(divisible(order8)),
      forge(0n, NONCE, HONEST_R, order8, grind(divisible(order8))),
    ),
    signatureCase(
      'key: order 8, a message not ground',
      false,
      order8,
      grind(odd(order8)),
      forge(0n, NONCE, HONEST_R, order8, grind(odd(order8))),
    ),
    onMixed('a ground message for which the plain equation holds', grind(divisible(MIXED_KEY))),
    onMixed('a message for which only the cofactored equation holds', grind(odd(MIXED_KEY))),
    signatureCase(
      'key: off the curve',
      false,
      hexBytes(`02${'00'.repeat(31)}`),
      MESSAGE,
      forge(SECRET, NONCE, HONEST_R, CLEAN_KEY, MESSAGE),
    ),
    signatureCase(
      'key: 31 bytes',
      false,
      CLEAN_KEY.subarray(1),
      MESSAGE,
      forge(SECRET, NONCE, HONEST_R, CLEAN_KEY, MESSAGE),
    ),
  ]
}
