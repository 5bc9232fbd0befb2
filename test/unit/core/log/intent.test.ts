import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../../../core/limits.ts'
import { holdBody } from '../../../../core/log/bodies.ts'
import { entryCodec } from '../../../../core/log/entry.ts'
import {
  type Intent,
  intentCodec,
  intentFault,
  isPayloadOf,
  NO_SAMPLING,
  type Payload,
  PLAIN,
  payloadCodec,
  plainMessage,
} from '../../../../core/log/intent.ts'
import { ALICE, applied, intentOfAlice, LogSwarm, START_MS } from '../../../support/log-swarm.ts'

const EMBEDDING: Partial<Intent> = { task: 'embedding', sampling: NO_SAMPLING, verify: 'before', maxTokens: 2 }
/** The longest of everything. */
const WORST: Partial<Intent> = {
  stop: [1, 2, 3, 4].map((place) => `${place}`.padEnd(LIMITS.stopBytesMax, 'x')),
  sampling: {
    ...{ kind: 'llama', temperatureMilli: 2_000, topK: 40, topPMilli: 999 },
    ...{ frequencyPenaltyMilli: -2_000, presencePenaltyMilli: -2_000 },
  },
  ...{ modelMegaParams: 0xffff_ffff, promptTokens: 131_072, maxTokens: 131_072, replicas: 5 },
  ...{ verify: 'before', maxBudget: LIMITS.amountMicroMax, nonce: 2n ** 64n - 1n },
}

test('the largest intent, with its signature, fits one entry of the log and one place of a receipt', () => {
  const region = 'r'.repeat(32)
  const intent = intentOfAlice({ ...WORST, region })
  assert.is(intentFault(intent), undefined)
  assert.ok(intentCodec.encode(intent).length <= LIMITS.intentBytesMax)
  const swarm = new LogSwarm({ region })
  const envelope = swarm.intent({ ...WORST, region })
  const previous = swarm.state.head.hash
  const entry = {
    kind: 'hold',
    index: 2n ** 63n,
    previous,
    timeMs: 2n ** 48n,
    body: holdBody(ALICE.peer, envelope),
  } as const
  const { length } = entryCodec.encode(entry)
  console.log(`the worst intent: ${envelope.length} bytes, its entry ${length}`)
  assert.ok(length <= LIMITS.entryBytesMax)
})

test('an intent with every new field is held like any other', () => {
  const parts = { stop: ['END', '\n\n'], task: 'completion', maxBudget: 10_000_000n, expiresMs: START_MS + 1n } as const
  const held = applied(new LogSwarm().apply('hold', new LogSwarm().holdBody(parts)))
  assert.ok(held.jobId !== null)
})

test('an embedding job is shown after its verdict, samples nothing and ends at no text', () => {
  const fault = (parts: Partial<Intent>) => intentFault(intentOfAlice({ ...EMBEDDING, ...parts }))
  assert.is(fault({}), undefined)
  assert.is(fault({ verify: 'after' }), 'verify')
  assert.is(fault({ speedTarget: 1 }), 'speed')
  assert.is(fault({ stop: ['x'] }), 'stop')
  assert.is(fault({ maxTokens: LIMITS.embeddingTextCountMax + 1 }), 'max_tokens')
  assert.is(fault({ sampling: { ...NO_SAMPLING, temperatureMilli: 1 } }), 'sampling')
  assert.is(fault({ sampling: { ...NO_SAMPLING, topK: 2 } }), 'sampling')
  assert.is(fault({ sampling: { ...NO_SAMPLING, kind: 'llama' } }), 'sampling')
  assert.is(fault({ task: 'chat', stop: ['x'], verify: 'after' }), undefined)
})

test('a sampler that others can replay has no rules but temperature and top-k', () => {
  const fault = (parts: Partial<Intent['sampling']>) => {
    const { sampling } = intentOfAlice()
    return intentFault(intentOfAlice({ sampling: { ...sampling, ...parts } }))
  }
  const rules = [{ topPMilli: 0 }, { topPMilli: 999 }, { frequencyPenaltyMilli: 1 }, { presencePenaltyMilli: -1 }]
  for (const rule of rules) {
    assert.is(fault(rule), 'sampling')
    assert.is(fault({ ...rule, kind: 'llama' }), undefined)
  }
  for (const rule of [{ topPMilli: 1_001 }, { frequencyPenaltyMilli: 2_001 }, { presencePenaltyMilli: -2_001 }])
    assert.is(fault({ ...rule, kind: 'llama' }), 'sampling')
})

test('a stop string is whole characters and at least one', () => {
  for (const stop of [[''], ['ok', ''], ['a\ufffd']]) assert.is(intentFault(intentOfAlice({ stop })), 'stop')
})

test('a payload has the words of its task, and as many as the intent says', () => {
  const salt = new Uint8Array(32)
  const payload = (parts: Partial<Payload>): Payload => {
    const value = { ...PLAIN, salt, messages: [], texts: [], logprobs: 0, ...parts }
    assert.equal(payloadCodec.decode(payloadCodec.encode(value)), { action: 'accept', value })
    return value
  }
  const messages = [plainMessage('user', 'hello')]
  const fits = (task: Intent['task'], parts: Partial<Payload>) =>
    isPayloadOf(intentOfAlice({ task, maxTokens: 2 }), payload(parts))
  assert.ok(fits('chat', { messages, logprobs: 21 }))
  assert.not(fits('chat', { messages, logprobs: 22 }))
  assert.not(fits('chat', { messages, texts: ['x'] }))
  assert.not(fits('chat', { texts: ['x'] }))
  assert.not(fits('chat', {}))
  assert.ok(fits('completion', { texts: ['x'], logprobs: 1 }))
  assert.not(fits('completion', { texts: ['x', 'y'] }))
  assert.not(fits('completion', { messages, texts: ['x'] }))
  assert.ok(fits('embedding', { texts: ['x', 'y'] }))
  assert.not(fits('embedding', { texts: ['x', 'y'], logprobs: 1 }))
  assert.not(fits('embedding', { texts: ['x'] }))
})

test('what a replay would not know comes only with a sampler that nobody replays', () => {
  const salt = new Uint8Array(32)
  const messages = [plainMessage('user', 'hello')]
  const plain: Payload = { ...PLAIN, salt, messages, texts: [], logprobs: 0 }
  const { sampling } = intentOfAlice()
  const fits = (kind: Intent['sampling']['kind'], parts: Partial<Payload>) =>
    isPayloadOf(intentOfAlice({ sampling: { ...sampling, kind } }), { ...plain, ...parts })
  for (const parts of [{ grammar: 'root ::= "a"' }, { logitBias: [{ id: 1, biasMilli: 5 }] }]) {
    assert.ok(fits('llama', parts))
    assert.not(fits('gumbel-v1', parts))
  }
  assert.ok(fits('gumbel-v1', { tools: '[]', thinking: 'on' }), 'reading other words is no other sampling')
})

test.run()
