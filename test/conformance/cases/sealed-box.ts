import { domainHash } from '#core/hash'
import { concatBytes, fromHex, toHex, utf8 } from '../../../core/codec/bytes.ts'
import { keyPairFromSeed } from '../../../core/identity/keys.ts'
import { type BoxContext, sealBox } from '../../../core/identity/sealed-box.ts'
import { type Digest, digestOf, type JobId, type SwarmId } from '../../../core/ids.ts'
import type { RejectReason } from '../../../core/validation.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const [EDGE, WORKER, OTHER] = ['edge', 'worker', 'other'].map((name) =>
  keyPairFromSeed(domainHash('vector-key', utf8(name))),
) as [ReturnType<typeof keyPairFromSeed>, ReturnType<typeof keyPairFromSeed>, ReturnType<typeof keyPairFromSeed>]
const EPHEMERAL = domainHash('vector', utf8('ephemeral'))
const WORDS = utf8('the words of a job')
const CONTEXT: BoxContext = {
  swarmId: named('swarm') as SwarmId,
  kind: 'job/execute',
  jobId: named('job') as JobId,
  from: EDGE.peer,
  to: WORKER.peer,
}
const BOX = sealBox(CONTEXT, WORDS, EPHEMERAL).box

/** RFC 9180, A.2.1: base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305; its encryption 0 and its exports. */
const RFC_9180 = {
  ikm: '909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b',
  recipientSecret: '8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb',
  recipientKey: '4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a',
  info: '4f6465206f6e2061204772656369616e2055726e',
  aad: '436f756e742d30',
  plaintext: '4265617574792069732074727574682c20747275746820626561757479',
}
const RFC_9180_SAYS = {
  enc: '1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a',
  ciphertext: '1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28',
  exporterSecret: 'a3b010d4994890e2c6968a36f64470d3c824c8f5029942feb11e7a74b2921922',
  exports: {
    '': '4bbd6243b8bb54cec311fac9df81841b6fd61f56538a775e7c80a9f40160606e',
    '00': '8c1df14732580e5501b00f82b10a1647b40713191b7c1240ac80e2b68808ba69',
    '54657374436f6e74657874': '5acb09211139c43b3090489a9da433e8a30ee7188ba8b0a9a1ccf0c229283e53',
  },
}

/** All u-coordinates whose order divides 8, on the curve or on its twist (RFC 7748, 6.1, asks to refuse what they lead to). */
const SMALL_ORDER_U: readonly (readonly [name: string, u: string])[] = [
  ['u = 0', '00'.repeat(32)],
  ['u = 1', `01${'00'.repeat(31)}`],
  ['u = p - 1', `ec${'ff'.repeat(30)}7f`],
  ['a u of order 8', 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'],
  ['the other u of order 8', '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'],
]

function named(name: string): Digest {
  return digestOf(domainHash('vector', utf8(name)))
}

export function sealedBoxVectors(): VectorFile {
  return {
    name: 'sealed-box',
    describe:
      'hpke: seal to the key, open with its secret, export. box: open as the peer of the seed, and seal to it, unless it must be refused.',
    cases: [rfcCase(), ...acceptedCases(), ...refusedCases()],
  }
}

function rfcCase(): VectorCase {
  return { name: 'RFC 9180 A.2.1', accept: true, input: { what: 'hpke', ...RFC_9180 }, expect: RFC_9180_SAYS }
}

function boxCase(name: string, box: Uint8Array, expect: VectorCase['expect'], parts: Partial<Texts> = {}): VectorCase {
  const { swarmId, kind, jobId, from } = CONTEXT
  const input = { what: 'box', seed: toHex(WORKER.seed), swarmId, kind, jobId, from, box: toHex(box), ...parts }
  return { name, accept: !('reason' in expect), input, expect }
}
type Texts = Readonly<Record<'seed' | 'swarmId' | 'kind' | 'jobId' | 'from', string>>

function acceptedCases(): VectorCase[] {
  const words: readonly (readonly [string, Partial<BoxContext>, Uint8Array])[] = [
    ['a few words', {}, WORDS],
    ['nothing in the box', {}, new Uint8Array()],
    ['of 1,000 bytes', {}, new Uint8Array(1_000).fill(7)],
    ['another kind of message', { kind: 'audit/ask' }, WORDS],
    ['to itself', { from: WORKER.peer }, WORDS],
  ]
  return words.map(([name, change, plaintext]) => {
    const { box, answerSecret } = sealBox({ ...CONTEXT, ...change }, plaintext, EPHEMERAL)
    const { to, ...parts } = { ...CONTEXT, ...change }
    const expect = { ephemeral: toHex(EPHEMERAL), to, plaintext: toHex(plaintext), answerSecret: toHex(answerSecret) }
    return boxCase(name, box, expect, parts)
  })
}

function refusedCases(): VectorCase[] {
  const refused = (name: string, box: Uint8Array, reason: RejectReason, parts: Partial<Texts> = {}): VectorCase =>
    boxCase(name, box, { reason }, parts)
  const unopened = (name: string, box: Uint8Array, parts?: Partial<Texts>): VectorCase =>
    refused(name, box, 'box_unopened', parts)
  const withKey = (u: string): Uint8Array => concatBytes(fromHex(u) ?? new Uint8Array(), BOX.subarray(32))
  const flipped = (place: number): Uint8Array => BOX.with(place, (BOX[place] ?? 0) ^ 1)
  return [
    unopened('by another key', BOX, { seed: toHex(OTHER.seed) }),
    unopened('by its sender', BOX, { seed: toHex(EDGE.seed) }),
    unopened('under another job', BOX, { jobId: named('another job') }),
    unopened('in another swarm', BOX, { swarmId: named('another swarm') }),
    unopened('as another message', BOX, { kind: 'audit/ask' }),
    unopened('from another sender', BOX, { from: OTHER.peer }),
    unopened('a bit of the encapsulated key changed', flipped(0)),
    unopened('a bit of the ciphertext changed', flipped(32)),
    unopened('a bit of the tag changed', flipped(BOX.length - 1)),
    unopened('a byte short', BOX.subarray(0, -1)),
    unopened('a byte long', concatBytes(BOX, Uint8Array.of(0))),
    refused('no byte', new Uint8Array(), 'box_malformed'),
    refused('shorter than key and tag', BOX.subarray(0, 47), 'box_malformed'),
    unopened('the high bit of the encapsulated key set', BOX.with(31, (BOX[31] ?? 0) | 0x80)),
    unopened('u = p', withKey(`ed${'ff'.repeat(30)}7f`)),
    unopened('u = p + 1', withKey(`ee${'ff'.repeat(30)}7f`)),
    unopened('u = 2^256 - 1', withKey('ff'.repeat(32))),
    ...SMALL_ORDER_U.map(([name, u]) => unopened(name, withKey(u))),
  ]
}
