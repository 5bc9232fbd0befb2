import { toHex } from '../../../core/codec/bytes.ts'
import { encodeWire, type Wire } from '../../../core/codec/canonical.ts'
import { digestBytes } from '../../../core/ids.ts'
import { type Intent, intentCodec, intentFault, jobIdOf, NEUTRAL, NO_SAMPLING } from '../../../core/log/intent.ts'
import type { RejectReason } from '../../../core/validation.ts'
import { intentOfAlice } from '../../support/log-swarm.ts'
import { swarmNamed } from '../../support/people.ts'
import { fieldTexts } from '../intent.vectors.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const SWARM = swarmNamed('swarm')
const EMBEDDING: Partial<Intent> = {
  ...{ task: 'embedding', sampling: NO_SAMPLING, verify: 'before', promptTokens: 640, maxTokens: 64 },
}

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
    ['greedy, checked before it is shown', { sampling: NO_SAMPLING, verify: 'before' }, 'swarm'],
    [
      'a sampler that nobody can replay',
      {
        sampling: {
          ...{ kind: 'llama', temperatureMilli: 2_000, topK: 40, topPMilli: 950 },
          ...{ frequencyPenaltyMilli: -2_000, presencePenaltyMilli: 2_000 },
        },
      },
      'swarm',
    ],
    [
      'a completion that ends at any of four texts',
      { task: 'completion', stop: ['\n', 'END', ' ', 'é'.repeat(24)] },
      'swarm',
    ],
    ['vectors of 64 texts', EMBEDDING, 'swarm'],
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
    ...NEUTRAL,
  })
  const ruled = (kind: Intent['sampling']['kind'], rules: Partial<Intent['sampling']>): Partial<Intent> => ({
    sampling: { ...sampling(700, 40), kind, ...rules },
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
    ['a replayable sampler with a nucleus', ruled('gumbel-v1', { topPMilli: 999 })],
    ['a replayable sampler with a frequency penalty', ruled('gumbel-v1', { frequencyPenaltyMilli: -1 })],
    ['a replayable sampler with a presence penalty', ruled('gumbel-v1', { presencePenaltyMilli: 1 })],
    ['a nucleus above everything', ruled('llama', { topPMilli: 1_001 })],
    ['a frequency penalty above 2', ruled('llama', { frequencyPenaltyMilli: 2_001 })],
    ['a presence penalty below -2', ruled('llama', { presencePenaltyMilli: -2_001 })],
    ['an empty stop string', { stop: ['END', ''] }],
    ['a stop string that ends in the middle of a character', { stop: ['\ufffd'] }],
    ['vectors of 65 texts', { ...EMBEDDING, maxTokens: 65 }],
    ['vectors that are shown before the verdict', { ...EMBEDDING, verify: 'after' }],
    ['vectors that end at a text', { ...EMBEDDING, stop: ['END'] }],
    ['vectors of a temperature', { ...EMBEDDING, sampling: sampling(1, 1) }],
    ['vectors of a sampler that nobody can replay', { ...EMBEDDING, sampling: { ...NO_SAMPLING, kind: 'llama' } }],
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
  const { payloadCommitment, seedsCommitment, modelDigest, templateDigest, expiresMs, maxBudget, nonce } =
    intentOfAlice()
  const rules = [0, 700, 40, 1_000, 0, 0]
  const wire: readonly Wire[] = [
    ...[1, digestBytes(payloadCommitment), digestBytes(seedsCommitment), 0, digestBytes(modelDigest), 3],
    ...[digestBytes(templateDigest), rules, []],
    ...[16, 256, 3, 0, 'home', maxBudget, nonce, expiresMs, 0],
  ]
  const cases: readonly (readonly [string, RejectReason, Uint8Array])[] = [
    ['an empty body', 'bytes_truncated', new Uint8Array()],
    ['the last byte cut off', 'bytes_truncated', good.subarray(0, -1)],
    ['a byte appended', 'bytes_trailing', Uint8Array.from([...good, 0])],
    ['version 2', 'version_unknown', encodeWire(wire.with(0, 2))],
    ['a field less', 'body_malformed', encodeWire(wire.slice(0, -1))],
    ['a field more', 'body_malformed', encodeWire([...wire, 0])],
    ['an unknown task', 'body_malformed', encodeWire(wire.with(3, 3))],
    ['a digest of 31 bytes', 'body_malformed', encodeWire(wire.with(4, new Uint8Array(31)))],
    ['a narrow budget', 'body_malformed', encodeWire(wire.with(14, 5))],
    ['an unknown sampler', 'body_malformed', encodeWire(wire.with(7, rules.with(0, 2)))],
    ['a sampler with a rule less', 'body_malformed', encodeWire(wire.with(7, rules.slice(0, -1)))],
    ['a penalty beyond sixteen bits', 'body_malformed', encodeWire(wire.with(7, rules.with(4, 65_536)))],
    ['a wide penalty', 'body_malformed', encodeWire(wire.with(7, [0, 700, 40, 1_000, -1n, 0]))],
    ['a fifth stop string', 'body_malformed', encodeWire(wire.with(8, ['a', 'b', 'c', 'd', 'e']))],
    ['a stop string of 49 bytes', 'body_malformed', encodeWire(wire.with(8, ['a'.repeat(49)]))],
    ['a region of 33 bytes', 'body_malformed', encodeWire(wire.with(13, 'a'.repeat(33)))],
    ['more than 640 bytes', 'bytes_too_large', encodeWire(wire.with(13, 'a'.repeat(640)))],
  ]
  return cases.map(([name, reason, body]) => refused(name, reason, body))
}
