import * as assert from 'uvu/assert'
import { toHex } from '../../core/codec/bytes.ts'
import { parseJobId } from '../../core/ids.ts'
import { chooseToken, gumbelNoise, jobSeed, positionHash } from '../../core/verification/gumbel.ts'
import { missing } from '../support/missing.ts'
import { listOf, numberOf } from './fields.ts'
import { bytesOf, type VectorCase } from './vector.ts'

export const file = 'gumbel.json'
/** Two logarithms of different libraries may differ in the last bits. */
const NOISE_TOLERANCE = 1e-12

export function check({ name, accept, input, expect }: VectorCase): void {
  const jobId = parseJobId(input['jobId']) ?? missing('a job id')
  const seed = jobSeed(jobId, bytesOf(input, 'seedNonce'))
  const [t, topK, claimed] = [numberOf(input, 't'), numberOf(input, 'topK'), numberOf(input, 'claimed')]
  const temperature = numberOf(input, 'temperatureMilli') / 1000
  const [ids, logits] = [listOf(input, 'ids').map(Number), listOf(input, 'logits').map(Number)]
  const h = positionHash(seed, t)
  assert.is(chooseToken(ids, logits, topK, temperature, seed, t) === claimed, accept, name)
  assert.is(toHex(seed), expect['seed'])
  assert.is(toHex(h), expect['positionHash'])
  for (const [place, noise] of listOf(expect, 'noise').map(Number).entries()) {
    assert.ok(Math.abs(gumbelNoise(h, ids[place] ?? -1) - noise) < NOISE_TOLERANCE, `noise of id ${ids[place]}`)
  }
}
