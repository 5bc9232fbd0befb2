import * as assert from 'uvu/assert'
import { intentCodec, intentFault, jobIdOf } from '../../core/log/intent.ts'
import { swarmIn } from './fields.ts'
import { acceptedOf, bytesOf, type VectorCase } from './vector.ts'

export const file = 'intent.json'

export function check(vector: VectorCase): void {
  const { input, expect } = vector
  const body = bytesOf(input, 'body')
  const decoded = intentCodec.decode(body)
  const fault = decoded.action === 'accept' ? intentFault(decoded.value) : undefined
  if (fault !== undefined) {
    assert.not(vector.accept, vector.name)
    assert.is(expect['reason'], `out_of_bounds ${fault}`)
    return
  }
  const intent = acceptedOf(decoded, vector)
  if (intent === undefined) return
  assert.is(jobIdOf(swarmIn(input, 'swarmId'), body), expect['jobId'])
  assert.equal(fieldTexts(intent), expect['intent'])
  assert.equal(intentCodec.encode(intent), body)
}

/** Wide integers as decimal text. */
export function fieldTexts(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === 'bigint' ? `${value}` : value]),
  )
}
