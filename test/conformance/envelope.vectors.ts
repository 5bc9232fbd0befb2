import * as assert from 'uvu/assert'
import { toHex } from '../../core/codec/bytes.ts'
import { encodeEnvelope, openEnvelope, signedBytes } from '../../core/identity/envelope.ts'
import { parseSwarmId } from '../../core/ids.ts'
import { acceptedOf, bytesOf, textOf, type VectorCase } from './vector.ts'

export const file = 'envelope.json'

export function check(vector: VectorCase): void {
  const { input, expect } = vector
  const swarmId = parseSwarmId(textOf(input, 'swarmId'))
  assert.ok(swarmId !== undefined)
  if (swarmId === undefined) return
  const bytes = bytesOf(input, 'bytes')
  const envelope = acceptedOf(openEnvelope(bytes, textOf(input, 'type'), swarmId), vector)
  if (envelope === undefined) return
  assert.is(envelope.signer, expect['signer'])
  assert.is(toHex(envelope.body), expect['body'])
  assert.is(toHex(signedBytes(envelope.type, swarmId, envelope.body)), expect['signedBytes'])
  assert.equal(encodeEnvelope(envelope), bytes)
}
