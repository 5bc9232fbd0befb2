import * as assert from 'uvu/assert'
import { toHex } from '../../core/codec/bytes.ts'
import {
  isSplit,
  openJobInputs,
  openReplicaInputs,
  replicaInputsOf,
  seedCommitment,
  seedsCommitmentOf,
} from '../../core/log/inputs.ts'
import { intentCodec } from '../../core/log/intent.ts'
import { expectAccepted } from '../support/job-run.ts'
import { acceptedOf, bytesOf, type VectorCase } from './vector.ts'

export const file = 'inputs.json'

export function check(vector: VectorCase): void {
  const { input, expect } = vector
  const intent = expectAccepted(intentCodec.decode(bytesOf(input, 'intent')))
  const { replica } = input
  if (typeof replica === 'number') {
    const opened = acceptedOf(openReplicaInputs(intent, replica, bytesOf(input, 'inputs')), vector)
    if (opened !== undefined) assert.is(toHex(opened.seedNonce), expect['seedNonce'])
    return
  }
  const inputs = bytesOf(input, 'inputs')
  const opened = acceptedOf(openJobInputs(intent, inputs), vector)
  if (opened === undefined) return
  assert.equal(
    opened.seeds.map((seed, place) => seedCommitment(place, seed)),
    expect['commitments'],
  )
  assert.is(seedsCommitmentOf(opened.seeds), expect['seedsCommitment'])
  assert.is(isSplit(intent, opened.seeds), expect['split'])
  assert.equal(
    opened.seeds.map((_, place) => toHex(replicaInputsOf(inputs, place))),
    expect['replicaInputs'],
  )
}
