import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  castVote,
  checkVote,
  decodeVote,
  encodeVote,
  type Statement,
  statementBytes,
  subjectKey,
  VOTE_BYTES,
  VOTE_KINDS,
} from '../../../../core/quorum/vote.ts'
import type { Rejected, Validation } from '../../../../core/validation.ts'
import { digestNamed, keyNamed, swarmNamed, validatorKeys, validatorsOf } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const SWARM = swarmNamed('swarm')
const KEYS = validatorKeys(4)
const SET = validatorsOf(KEYS)
const [V0] = KEYS
const STATEMENT: Statement = {
  kind: 'finding',
  epoch: 0n,
  setHash: SET.hash,
  subject: digestNamed('job'),
  attempt: 1,
  index: 2,
  digest: digestNamed('finding'),
}

const v0 = V0 ?? keyNamed('v0')
const VOTE = castVote(SWARM, STATEMENT, v0)

function reasonOf(validation: Validation<unknown>): Rejected['reason'] | 'accepted' | 'ignored' {
  return validation.action === 'reject' ? validation.reason : validation.action === 'accept' ? 'accepted' : 'ignored'
}

test('a vote that a member cast is accepted', () => {
  assert.is(reasonOf(checkVote(SWARM, SET, VOTE)), 'accepted')
})

test('what is signed is 156 bytes of fixed layout', () => {
  const bytes = statementBytes(SWARM, STATEMENT)
  assert.is(bytes.length, 156)
  assert.is(Buffer.from(bytes.subarray(0, 13)).toString('latin1'), 'cfab/vote/v1\0')
  assert.is(bytes[45], 2)
})

test('every field changes what is signed, and all but the digest name another subject', () => {
  const changed: readonly Statement[] = [
    { ...STATEMENT, kind: 'assignment' },
    { ...STATEMENT, epoch: 1n },
    { ...STATEMENT, setHash: digestNamed('set') },
    { ...STATEMENT, subject: digestNamed('job 2') },
    { ...STATEMENT, attempt: 2 },
    { ...STATEMENT, index: 1 },
  ]
  const otherDigest = { ...STATEMENT, digest: digestNamed('finding 2') }
  const signed = [STATEMENT, otherDigest, ...changed].map((statement) =>
    Buffer.from(statementBytes(SWARM, statement)).toString('hex'),
  )
  assert.is(new Set(signed).size, signed.length)
  assert.is(subjectKey(otherDigest), subjectKey(STATEMENT))
  assert.is(new Set([STATEMENT, ...changed].map(subjectKey)).size, changed.length + 1)
})

test('a vote for another set or epoch does not count, even by a member of both', () => {
  const other = validatorsOf(KEYS.slice(0, 3))
  const next = validatorsOf(KEYS, 1n)
  assert.is(reasonOf(checkVote(SWARM, other, VOTE)), 'vote_subject_mismatch')
  assert.is(reasonOf(checkVote(SWARM, next, VOTE)), 'vote_subject_mismatch')
  const liar = castVote(SWARM, { ...STATEMENT, epoch: 1n }, v0)
  assert.is(reasonOf(checkVote(SWARM, SET, liar)), 'vote_subject_mismatch')
})

test('a stranger with a good signature does not count', () => {
  assert.is(reasonOf(checkVote(SWARM, SET, castVote(SWARM, STATEMENT, keyNamed('stranger')))), 'voter_not_in_set')
})

test('a vote put under the name of another member does not count', () => {
  assert.is(reasonOf(checkVote(SWARM, SET, { ...VOTE, voter: keyNamed('v1').peer })), 'signature_invalid')
})

test('a signature over another swarm, digest or length does not count', () => {
  assert.is(reasonOf(checkVote(swarmNamed('other'), SET, VOTE)), 'signature_invalid')
  const moved = { ...VOTE, statement: { ...STATEMENT, digest: digestNamed('other') } }
  assert.is(reasonOf(checkVote(SWARM, SET, moved)), 'signature_invalid')
  assert.is(reasonOf(checkVote(SWARM, SET, { ...VOTE, signature: VOTE.signature.subarray(1) })), 'signature_malformed')
})

test('every kind survives the bytes', () => {
  for (const kind of VOTE_KINDS) {
    const vote = castVote(
      SWARM,
      { ...STATEMENT, kind, epoch: 2n ** 64n - 1n, attempt: 2 ** 32 - 1, index: 2 ** 16 - 1 },
      v0,
    )
    const bytes = encodeVote(vote)
    assert.is(bytes.length, VOTE_BYTES)
    assert.equal(decodeVote(bytes), { action: 'accept', value: vote })
  }
})

test('bytes cut short, too long, of another version or kind are refused', () => {
  const bytes = encodeVote(VOTE)
  assert.is(reasonOf(decodeVote(bytes.subarray(0, -1))), 'bytes_truncated')
  assert.is(reasonOf(decodeVote(new Uint8Array())), 'bytes_truncated')
  assert.is(reasonOf(decodeVote(Uint8Array.of(...bytes, 0))), 'bytes_trailing')
  assert.is(reasonOf(decodeVote(bytes.with(0, 2))), 'version_unknown')
  assert.is(reasonOf(decodeVote(bytes.with(33, 0))), 'body_malformed')
  assert.is(reasonOf(decodeVote(bytes.with(33, 10))), 'body_malformed')
})

test('a decoded vote does not change with the buffer it came in', () => {
  const bytes = encodeVote(VOTE)
  const decoded = decodeVote(bytes)
  bytes.fill(0)
  assert.equal(decoded, { action: 'accept', value: VOTE })
})

test('no flipped bit of a vote passes the check', () => {
  const random = seededRandom(testSeed())
  const bytes = encodeVote(VOTE)
  for (let run = 0; run < 60; run++) {
    const place = random.below(bytes.length)
    const decoded = decodeVote(bytes.with(place, (bytes[place] ?? 0) ^ (1 << random.below(8))))
    if (decoded.action === 'accept') assert.is(checkVote(SWARM, SET, decoded.value).action, 'reject', `byte ${place}`)
  }
})

test.run()
