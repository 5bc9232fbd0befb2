import * as assert from 'uvu/assert'
import { toHex } from '../../core/codec/bytes.ts'
import { checkVote, decodeVote, encodeVote, statementBytes, type Vote } from '../../core/quorum/vote.ts'
import type { Validation } from '../../core/validation.ts'
import { swarmIn, validatorsIn } from './fields.ts'
import { acceptedOf, bytesOf, type VectorCase } from './vector.ts'

export const file = 'vote.json'

export function check(vector: VectorCase): void {
  const { input, expect } = vector
  const [bytes, swarmId] = [bytesOf(input, 'bytes'), swarmIn(input, 'swarmId')]
  const decoded = decodeVote(bytes)
  const checked: Validation<Vote> =
    decoded.action === 'accept' ? checkVote(swarmId, validatorsIn(input), decoded.value) : decoded
  const vote = acceptedOf(checked, vector)
  if (vote === undefined) return
  const { kind, epoch, setHash, subject, attempt, index, digest } = vote.statement
  assert.equal({ kind, epoch: `${epoch}`, setHash, subject, attempt, index, digest }, expect['statement'])
  assert.is(vote.voter, expect['voter'])
  assert.is(toHex(statementBytes(swarmId, vote.statement)), expect['signedBytes'])
  assert.equal(encodeVote(vote), bytes)
}
