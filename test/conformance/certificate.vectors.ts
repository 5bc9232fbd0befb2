import * as assert from 'uvu/assert'
import { toHex } from '../../core/codec/bytes.ts'
import { checkCertificate, votersOf } from '../../core/quorum/certificate.ts'
import { type Statement, statementBytes, VOTE_KINDS } from '../../core/quorum/vote.ts'
import { missing } from '../support/missing.ts'
import { digestIn, listOf, numberOf, objectOf, peerOf, swarmIn, validatorsIn, wideOf } from './fields.ts'
import { acceptedOf, bytesOf, type Texts, type VectorCase } from './vector.ts'

export const file = 'certificate.json'

function statementIn(input: Texts): Statement {
  return {
    kind: VOTE_KINDS.find((kind) => kind === input['kind']) ?? missing('a vote kind'),
    epoch: wideOf(input, 'epoch'),
    setHash: digestIn(input, 'setHash'),
    subject: digestIn(input, 'subject'),
    attempt: numberOf(input, 'attempt'),
    index: numberOf(input, 'index'),
    digest: digestIn(input, 'digest'),
  }
}

export function check(vector: VectorCase): void {
  const { input, expect } = vector
  const [set, swarmId] = [validatorsIn(input), swarmIn(input, 'swarmId')]
  const statement = statementIn(objectOf(input['statement']))
  const compact = { bitmap: numberOf(input, 'bitmap'), signatures: bytesOf(input, 'signatures') }
  const certificate = acceptedOf(
    checkCertificate(swarmId, set, statement, compact, listOf(input, 'excluded').map(peerOf)),
    vector,
  )
  if (certificate === undefined) return
  assert.is(set.hash, expect['setHash'])
  assert.equal(votersOf(set, certificate.bitmap), expect['voters'])
  assert.is(toHex(statementBytes(swarmId, statement)), expect['signedBytes'])
}
