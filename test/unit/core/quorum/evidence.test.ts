import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { concatBytes } from '../../../../core/codec/bytes.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { checkEvidence, encodeEvidence, evidenceOf } from '../../../../core/quorum/evidence.ts'
import { castVote, encodeVote, type Statement, type Vote } from '../../../../core/quorum/vote.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, keyNamed, swarmNamed, validatorKeys, validatorsOf } from '../../../support/people.ts'

const SWARM = swarmNamed('swarm')
const KEYS = validatorKeys(4)
const SET = validatorsOf(KEYS)
const LIAR = keyNamed('v0')
const STATEMENT: Statement = {
  kind: 'assignment',
  epoch: 0n,
  setHash: SET.hash,
  subject: digestNamed('job'),
  attempt: 0,
  index: 0,
  digest: digestNamed('one'),
}
const ONE = castVote(SWARM, STATEMENT, LIAR)
const OTHER = castVote(SWARM, { ...STATEMENT, digest: digestNamed('other') }, LIAR)

const proof = (one: Vote, other: Vote) =>
  encodeEvidence(evidenceOf(one, other) ?? missing('the votes contradict each other'))
const refusal = (bytes: Uint8Array, swarm = SWARM, set = SET) => {
  const checked = checkEvidence(swarm, set, bytes)
  return checked.action === 'reject' ? checked.reason : checked.action
}

test('two digests under one subject are evidence, the same whoever reports it', () => {
  assert.is(refusal(proof(ONE, OTHER)), 'accept')
  assert.equal(proof(OTHER, ONE), proof(ONE, OTHER))
})

test('evidence fits a log entry', () => {
  assert.ok(proof(ONE, OTHER).length < LIMITS.entryBytesMax / 2)
})

test('votes that do not contradict each other are no evidence', () => {
  assert.is(evidenceOf(ONE, ONE), undefined)
  assert.is(evidenceOf(ONE, castVote(SWARM, { ...OTHER.statement, attempt: 1 }, LIAR)), undefined)
  assert.is(evidenceOf(ONE, castVote(SWARM, OTHER.statement, keyNamed('v1'))), undefined)
})

test('an honest validator cannot be framed with a forged second vote', () => {
  const forged = { ...OTHER, signature: ONE.signature }
  assert.is(refusal(proof(ONE, forged)), 'signature_invalid')
  assert.is(refusal(proof(ONE, OTHER), swarmNamed('other')), 'signature_invalid')
})

test('evidence against somebody outside the set, or for another set, is refused', () => {
  const stranger = keyNamed('stranger')
  const [a, b] = [castVote(SWARM, STATEMENT, stranger), castVote(SWARM, OTHER.statement, stranger)]
  assert.is(refusal(proof(a, b)), 'voter_not_in_set')
  assert.is(refusal(proof(ONE, OTHER), SWARM, validatorsOf(KEYS, 1n)), 'vote_subject_mismatch')
})

test('evidence in the wrong order, of one vote twice, or of broken bytes is refused', () => {
  const [low, high] = ONE.statement.digest < OTHER.statement.digest ? [ONE, OTHER] : [OTHER, ONE]
  const join = (version: number, ...votes: readonly Vote[]) =>
    concatBytes(Uint8Array.of(version), ...votes.map(encodeVote))
  assert.is(refusal(join(1, low, high)), 'accept')
  assert.is(refusal(join(1, high, low)), 'bytes_not_canonical')
  assert.is(refusal(join(1, low, low)), 'vote_subject_mismatch')
  assert.is(refusal(join(2, low, high)), 'version_unknown')
  assert.is(refusal(join(1, low)), 'bytes_truncated')
  assert.is(refusal(join(1, low, high, high)), 'bytes_trailing')
  assert.is(refusal(new Uint8Array()), 'bytes_truncated')
})

test.run()
