import * as assert from 'uvu/assert'
import { toHex } from '../../core/codec/bytes.ts'
import {
  isPayloadOf,
  type Payload,
  payloadCodec,
  payloadCommitment,
  SAMPLING_KINDS,
  TASKS,
} from '../../core/log/intent.ts'
import { missing } from '../support/missing.ts'
import { numberOf } from './fields.ts'
import { acceptedOf, bytesOf, textOf, type VectorCase } from './vector.ts'

export const file = 'payload.json'

export function check(vector: VectorCase): void {
  const { input, expect } = vector
  const body = bytesOf(input, 'body')
  const decoded = payloadCodec.decode(body)
  const task = TASKS.find((name) => name === textOf(input, 'task')) ?? missing('the vector has a task')
  const kind = SAMPLING_KINDS.find((name) => name === textOf(input, 'sampling')) ?? missing('the vector has a sampler')
  const [maxTokens, promptTokens] = [numberOf(input, 'maxTokens'), numberOf(input, 'promptTokens')]
  const intent = { task, maxTokens, promptTokens, sampling: { ...NEUTRAL_DRAW, kind } }
  if (decoded.action === 'accept' && !isPayloadOf(intent, decoded.value)) {
    assert.not(vector.accept, vector.name)
    assert.is(expect['reason'], 'other_payload')
    return
  }
  const payload = acceptedOf(decoded, vector)
  if (payload === undefined) return
  assert.is(payloadCommitment(body), expect['commitment'])
  assert.equal(payloadTexts(payload), expect['payload'])
  assert.equal(payloadCodec.encode(payload), body)
}

const NEUTRAL_DRAW = {
  ...{ temperatureMilli: 700, topK: 40, topPMilli: 1_000 },
  ...{ frequencyPenaltyMilli: 0, presencePenaltyMilli: 0 },
}

/** Bytes as hex. */
export function payloadTexts(payload: Payload): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(payload).map(([name, value]) => [name, value instanceof Uint8Array ? toHex(value) : value]),
  )
}
