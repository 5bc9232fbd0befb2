import { toHex } from '../../../core/codec/bytes.ts'
import { encodeWire, type Wire } from '../../../core/codec/canonical.ts'
import { digestBytes } from '../../../core/ids.ts'
import { type Intent, intentCodec, intentFault, jobIdOf } from '../../../core/log/intent.ts'
import type { RejectReason } from '../../../core/validation.ts'
import { intentOfAlice } from '../../support/log-swarm.ts'
import { swarmNamed } from '../../support/people.ts'
import { fieldTexts } from '../intent.vectors.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const SWARM = swarmNamed('swarm')

export function intentVectors(): VectorFile {
  return {
    name: 'intent',
    describe: 'Decode the body of an intent, check its bounds, and give the id of the job that it makes in the swarm.',
    cases: [...acceptedCases(), ...boundCases(), ...malformedCases()],
  }
}

function acceptedCases(): VectorCase[] {
  const intents: readonly (readonly [string, Partial<Intent>, string])[] = [
    ['an ordinary intent', {}, 'swarm'],
    ['the same intent in another swarm is another job', {}, 'other'],
    ['another nonce is another job', { nonce: 2n }, 'swarm'],
    [
      'the largest values',
      { promptTokens: 131_072, maxTokens: 131_072, replicas: 5, nonce: 2n ** 64n - 1n, maxBudget: 2n ** 53n },
      'swarm',
    ],
    [
      'the smallest values',
      { promptTokens: 1, maxTokens: 1, replicas: 1, nonce: 0n, maxBudget: 1n, expiresMs: 0n },
      'swarm',
    ],
    [
      'greedy, checked before it is shown',
      { sampling: { kind: 'gumbel-v1', temperatureMilli: 0, topK: 1 }, verify: 'before' },
      'swarm',
    ],
    ['a sampler of the engine', { sampling: { kind: 'llama', temperatureMilli: 2_000, topK: 40 } }, 'swarm'],
    ['a region of 32 bytes', { region: 'a'.repeat(32) }, 'swarm'],
  ]
  return intents.map(([name, parts, swarm]) => {
    const intent = intentOfAlice(parts)
    const [body, swarmId] = [intentCodec.encode(intent), swarmNamed(swarm)]
    const expect = { jobId: jobIdOf(swarmId, body), intent: fieldTexts(intent) }
    return { name, accept: true, input: { body: toHex(body), swarmId }, expect }
  })
}

function refused(name: string, reason: string, body: Uint8Array): VectorCase {
  return { name, accept: false, input: { body: toHex(body), swarmId: SWARM }, expect: { reason } }
}

function boundCases(): VectorCase[] {
  const sampling = (temperatureMilli: number, topK: number): Intent['sampling'] => ({
    kind: 'gumbel-v1',
    temperatureMilli,
    topK,
  })
  const intents: readonly (readonly [string, Partial<Intent>])[] = [
    ['no replica', { replicas: 0 }],
    ['six replicas', { replicas: 6 }],
    ['no output token', { maxTokens: 0 }],
    ['one output token too many', { maxTokens: 131_073 }],
    ['no prompt token', { promptTokens: 0 }],
    ['one prompt token too many', { promptTokens: 131_073 }],
    ['a temperature above 2', { sampling: sampling(2_001, 40) }],
    ['a top-k of 0', { sampling: sampling(700, 0) }],
    ['a top-k above 40', { sampling: sampling(700, 41) }],
    ['a budget of nothing', { maxBudget: 0n }],
    ['a budget below nothing', { maxBudget: -1n }],
    ['a budget above 2^53', { maxBudget: 2n ** 53n + 1n }],
    ['a model without a size', { modelMegaParams: 0 }],
    ['no region', { region: '' }],
  ]
  return intents.map(([name, parts]) => {
    const intent = intentOfAlice(parts)
    return refused(name, `out_of_bounds ${intentFault(intent)}`, intentCodec.encode(intent))
  })
}

function malformedCases(): VectorCase[] {
  const good = intentCodec.encode(intentOfAlice())
  const { payloadCommitment, modelDigest, templateDigest, expiresMs, maxBudget, nonce } = intentOfAlice()
  const wire: readonly Wire[] = [
    ...[1, digestBytes(payloadCommitment), digestBytes(modelDigest), 3, digestBytes(templateDigest), [0, 700, 40]],
    ...[16, 256, 3, 0, 'home', maxBudget, nonce, expiresMs],
  ]
  const cases: readonly (readonly [string, RejectReason, Uint8Array])[] = [
    ['an empty body', 'bytes_truncated', new Uint8Array()],
    ['the last byte cut off', 'bytes_truncated', good.subarray(0, -1)],
    ['a byte appended', 'bytes_trailing', Uint8Array.from([...good, 0])],
    ['version 2', 'version_unknown', encodeWire(wire.with(0, 2))],
    ['a field less', 'body_malformed', encodeWire(wire.slice(0, -1))],
    ['a field more', 'body_malformed', encodeWire([...wire, 0])],
    ['a digest of 31 bytes', 'body_malformed', encodeWire(wire.with(2, new Uint8Array(31)))],
    ['a narrow budget', 'body_malformed', encodeWire(wire.with(11, 5))],
    ['an unknown sampler', 'body_malformed', encodeWire(wire.with(5, [2, 700, 40]))],
    ['a region of 33 bytes', 'body_malformed', encodeWire(wire.with(10, 'a'.repeat(33)))],
    ['more than 640 bytes', 'bytes_too_large', encodeWire(wire.with(10, 'a'.repeat(640)))],
  ]
  return cases.map(([name, reason, body]) => refused(name, reason, body))
}
