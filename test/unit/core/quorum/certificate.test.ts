import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { concatBytes } from '../../../../core/codec/bytes.ts'
import type { PeerId } from '../../../../core/ids.ts'
import {
  type CompactCertificate,
  certify,
  checkCertificate,
  compactOf,
  votersOf,
} from '../../../../core/quorum/certificate.ts'
import { castVote, type Statement } from '../../../../core/quorum/vote.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, keyNamed, swarmNamed, validatorKeys, validatorsOf } from '../../../support/people.ts'

const SWARM = swarmNamed('swarm')
const KEYS = validatorKeys(7)
const SET = validatorsOf(KEYS)
const STATEMENT: Statement = {
  kind: 'settlement',
  epoch: 0n,
  setHash: SET.hash,
  subject: digestNamed('job'),
  attempt: 0,
  index: 0,
  digest: digestNamed('settlement'),
}
const VOTES = KEYS.map((key) => castVote(SWARM, STATEMENT, key))
const GOOD = compactOf(certify(SET, VOTES.slice(1)))

function signaturesOf(places: readonly number[]): Uint8Array {
  return concatBytes(...places.map((place) => VOTES[place]?.signature ?? missing()))
}

function refusal(
  compact: CompactCertificate,
  statement = STATEMENT,
  set = SET,
  excluded: readonly PeerId[] = [],
): string {
  const checked = checkCertificate(SWARM, set, statement, compact, excluded)
  return checked.action === 'reject' ? checked.reason : checked.action
}

test('exactly the quorum signs, the first voters in validator order', () => {
  assert.is(GOOD.bitmap, 0b0111110)
  assert.is(GOOD.signatures.length, 5 * 64)
  assert.is(refusal(GOOD), 'accept')
  assert.equal(votersOf(SET, GOOD.bitmap), SET.keys.slice(1, 6))
})

test('the order in which votes arrived does not change the certificate', () => {
  assert.equal(compactOf(certify(SET, VOTES.slice(1).reverse())), GOOD)
})

test('certifying fewer than a quorum, or votes on two statements, is a bug', () => {
  assert.throws(() => certify(SET, VOTES.slice(0, 4)), /quorum/)
  const other = castVote(SWARM, { ...STATEMENT, digest: digestNamed('other') }, KEYS[0] ?? missing())
  assert.throws(() => certify(SET, [other, ...VOTES.slice(1)]), /one statement/)
})

test('four of seven are refused', () => {
  assert.is(refusal({ bitmap: 0b1111, signatures: signaturesOf([0, 1, 2, 3]) }), 'certificate_without_quorum')
  assert.is(refusal({ bitmap: 0, signatures: new Uint8Array() }), 'certificate_without_quorum')
})

test('a signature more than the quorum is refused, so nobody can strip one', () => {
  assert.is(refusal({ bitmap: 0b111111, signatures: signaturesOf([0, 1, 2, 3, 4, 5]) }), 'certificate_not_minimal')
})

test('one voter five times is refused', () => {
  assert.is(refusal({ bitmap: 0b11111, signatures: signaturesOf([0, 0, 0, 0, 0]) }), 'signature_invalid')
  assert.is(refusal({ bitmap: 0b1, signatures: signaturesOf([0, 0, 0, 0, 0]) }), 'signature_malformed')
})

test('signatures in another order are refused', () => {
  assert.is(refusal({ ...GOOD, signatures: signaturesOf([2, 1, 3, 4, 5]) }), 'signature_invalid')
})

test('a bit beyond the set, a negative and a broken bitmap are refused', () => {
  for (const bitmap of [0b10011111, 2 ** 16, 2 ** 31, 2 ** 32 + 0b11111, -1, 0.5, Number.NaN]) {
    assert.is(refusal({ bitmap, signatures: signaturesOf([0, 1, 2, 3, 4]) }), 'voter_not_in_set', String(bitmap))
  }
})

test('more or fewer signature bytes than bits are refused', () => {
  for (const signatures of [
    signaturesOf([1, 2, 3, 4]),
    signaturesOf([1, 2, 3, 4, 5, 6]),
    GOOD.signatures.subarray(1),
  ]) {
    assert.is(refusal({ ...GOOD, signatures }), 'signature_malformed')
  }
})

test('a certificate over another set hash, epoch, subject, attempt, index, kind or digest is refused', () => {
  const other = validatorsOf(KEYS.slice(0, 6))
  assert.is(refusal(GOOD, STATEMENT, other), 'vote_subject_mismatch')
  assert.is(refusal(GOOD, { ...STATEMENT, epoch: 1n }), 'vote_subject_mismatch')
  assert.is(refusal(GOOD, { ...STATEMENT, setHash: other.hash }, other), 'signature_invalid')
  const parts: readonly Partial<Statement>[] = [
    { subject: digestNamed('job 2') },
    { attempt: 1 },
    { index: 1 },
    { kind: 'correction' },
    { digest: digestNamed('other') },
  ]
  for (const part of parts) assert.is(refusal(GOOD, { ...STATEMENT, ...part }), 'signature_invalid')
})

test('a quorum that mixes two digests is refused', () => {
  const other = KEYS.slice(4, 6).map(
    (key) => castVote(SWARM, { ...STATEMENT, digest: digestNamed('other') }, key).signature,
  )
  assert.is(refusal({ ...GOOD, signatures: concatBytes(signaturesOf([1, 2, 3]), ...other) }), 'signature_invalid')
})

test('strangers with their own keys are refused: keys come from the set', () => {
  const strangers = ['s1', 's2', 's3', 's4', 's5'].map((name) => castVote(SWARM, STATEMENT, keyNamed(name)).signature)
  assert.is(refusal({ bitmap: 0b11111, signatures: concatBytes(...strangers) }), 'signature_invalid')
})

test('an excluded signer spoils the certificate, an excluded bystander does not', () => {
  const [v0, v1] = SET.keys
  assert.is(refusal(GOOD, STATEMENT, SET, [v1 ?? missing()]), 'voter_excluded')
  assert.is(refusal(GOOD, STATEMENT, SET, [v0 ?? missing()]), 'accept')
})

test('no flipped bit of a certificate is accepted', () => {
  for (let place = 0; place < GOOD.signatures.length; place += 13) {
    const signatures = Uint8Array.from(GOOD.signatures)
    signatures[place] = (signatures[place] ?? 0) ^ (1 << (place % 8))
    assert.is(refusal({ ...GOOD, signatures }), 'signature_invalid', `byte ${place}`)
  }
  for (let bit = 0; bit < 16; bit++) assert.is.not(refusal({ ...GOOD, bitmap: GOOD.bitmap ^ (1 << bit) }), 'accept')
})

test('a set of thirteen certifies within a log entry', () => {
  const keys = validatorKeys(13)
  const set = validatorsOf(keys)
  const statement = { ...STATEMENT, setHash: set.hash }
  const compact = compactOf(
    certify(
      set,
      keys.map((key) => castVote(SWARM, statement, key)),
    ),
  )
  assert.is(compact.signatures.length, 9 * 64)
  assert.is(refusal(compact, statement, set), 'accept')
})

test.run()
