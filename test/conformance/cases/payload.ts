import { idsToBytes, toHex } from '../../../core/codec/bytes.ts'
import { decodeWire, encodeWire, type Wire } from '../../../core/codec/canonical.ts'
import { LIMITS } from '../../../core/limits.ts'
import {
  type Intent,
  type Message,
  type Payload,
  PLAIN,
  payloadCodec,
  payloadCommitment,
  plainMessage,
  type Task,
} from '../../../core/log/intent.ts'
import type { RejectReason } from '../../../core/validation.ts'
import { missing } from '../../support/missing.ts'
import { payloadTexts } from '../payload.vectors.ts'
import type { Texts, VectorCase, VectorFile } from '../vector.ts'

type Sampler = Intent['sampling']['kind']
type Fitting = readonly [name: string, task: Task, sampling: Sampler, parts: Partial<Payload>]

const HELLO = plainMessage('user', 'What is the weather in Zürich?')
const CALL = { id: 'call_1', name: 'weather', arguments: '{"city":"Zürich"}' }
const CALLING: Message = { role: 'assistant', content: '', toolCalls: [CALL], toolCallId: '' }
const ANSWERING: Message = { role: 'tool', content: '{"celsius":7}', toolCalls: [], toolCallId: 'call_1' }
const TOOLS = '[{"name":"weather","description":"","parameters":{"type":"object"}}]'
const GRAMMAR = 'root ::= "yes" | "no"'
const IDS = idsToBytes([7, 0, 0xffff_ffff])
/** As many of them as `promptIds` has here, and as many texts as an embedding job has. */
const [PROMPT_TOKENS, TEXT_COUNT] = [3, 2]
const LLAMA: Partial<Payload> = {
  grammar: GRAMMAR,
  logitBias: [
    { id: 5, biasMilli: -100_000 },
    { id: 9, biasMilli: 1 },
  ],
}

export function payloadVectors(): VectorFile {
  return {
    name: 'payload',
    describe:
      'Decode the body of a payload, check that it is one of an intent with this task, sampler, maxTokens and promptTokens, and give its commitment.',
    cases: [...acceptedCases(), ...otherCases(), ...malformedCases()],
  }
}

function payloadOf(parts: Partial<Payload>): Payload {
  const salt = new Uint8Array(32).fill(1)
  return { ...PLAIN, salt, messages: [], texts: [], logprobs: 0, ...parts }
}

function inputOf(task: Task, sampling: Sampler, body: Uint8Array): Texts {
  return { body: toHex(body), task, sampling, maxTokens: TEXT_COUNT, promptTokens: PROMPT_TOKENS }
}

function acceptedCases(): VectorCase[] {
  const fitting: readonly Fitting[] = [
    ['a chat', 'chat', 'gumbel-v1', { messages: [HELLO] }],
    [
      'a chat of every role',
      'chat',
      'gumbel-v1',
      { messages: [HELLO, CALLING, ANSWERING, plainMessage('system', '')] },
    ],
    ['a chat with tools and alternatives', 'chat', 'gumbel-v1', { messages: [HELLO], tools: TOOLS, logprobs: 21 }],
    ['a chat that thinks first', 'chat', 'gumbel-v1', { messages: [HELLO], thinking: 'on' }],
    ['a chat that does not think', 'chat', 'llama', { messages: [HELLO], thinking: 'off' }],
    ['a chat that follows a grammar', 'chat', 'llama', { messages: [HELLO], ...LLAMA }],
    ['a completion', 'completion', 'gumbel-v1', { texts: ['Once upon'] }],
    [
      'a completion of biased tokens',
      'completion',
      'llama',
      { texts: [''], logitBias: [{ id: 0, biasMilli: 100_000 }] },
    ],
    ['a completion of token ids', 'completion', 'gumbel-v1', { promptIds: IDS }],
    ['texts to embed', 'embedding', 'gumbel-v1', { texts: ['one', 'two'] }],
  ]
  return fitting.map(([name, task, sampling, parts]) => {
    const payload = payloadOf(parts)
    const body = payloadCodec.encode(payload)
    const expect = { commitment: payloadCommitment(body), payload: payloadTexts(payload) }
    return { name, accept: true, input: inputOf(task, sampling, body), expect }
  })
}

/** Whole bodies that another intent may have, or none. */
function otherCases(): VectorCase[] {
  const nameless: Message = { ...CALLING, toolCalls: [{ ...CALL, name: '' }] }
  const cases: readonly Fitting[] = [
    ['a chat without messages', 'chat', 'gumbel-v1', {}],
    ['a chat with a text', 'chat', 'gumbel-v1', { messages: [HELLO], texts: ['x'] }],
    ['a chat with token ids', 'chat', 'gumbel-v1', { messages: [HELLO], promptIds: IDS }],
    ['a user who calls a tool', 'chat', 'gumbel-v1', { messages: [{ ...HELLO, toolCalls: [CALL] }] }],
    ['a user who answers a call', 'chat', 'gumbel-v1', { messages: [{ ...HELLO, toolCallId: 'call_1' }] }],
    ['a tool that answers no call', 'chat', 'gumbel-v1', { messages: [{ ...ANSWERING, toolCallId: '' }] }],
    ['a call without a name', 'chat', 'gumbel-v1', { messages: [nameless] }],
    ['a grammar that a replay would not know', 'chat', 'gumbel-v1', { messages: [HELLO], grammar: GRAMMAR }],
    [
      'biases that a replay would not know',
      'chat',
      'gumbel-v1',
      { messages: [HELLO], logitBias: LLAMA.logitBias ?? [] },
    ],
    ['a bias above 100', 'chat', 'llama', { messages: [HELLO], logitBias: [{ id: 5, biasMilli: 100_001 }] }],
    ['one token with two biases', 'chat', 'llama', { messages: [HELLO], logitBias: repeated(5, 5) }],
    ['biases out of order', 'chat', 'llama', { messages: [HELLO], logitBias: repeated(6, 5) }],
    ['a completion of two texts', 'completion', 'gumbel-v1', { texts: ['x', 'y'] }],
    ['a completion with tools', 'completion', 'gumbel-v1', { texts: ['x'], tools: TOOLS }],
    ['a completion that thinks', 'completion', 'gumbel-v1', { texts: ['x'], thinking: 'off' }],
    ['a completion of a text and token ids', 'completion', 'gumbel-v1', { texts: ['x'], promptIds: IDS }],
    ['token ids of another number', 'completion', 'gumbel-v1', { promptIds: IDS.subarray(4) }],
    ['token ids to embed', 'embedding', 'gumbel-v1', { promptIds: IDS }],
    ['a text less than there are vectors', 'embedding', 'gumbel-v1', { texts: ['one'] }],
    ['vectors with alternatives', 'embedding', 'gumbel-v1', { texts: ['one', 'two'], logprobs: 1 }],
  ]
  return cases.map(([name, task, sampling, parts]) => {
    const input = inputOf(task, sampling, payloadCodec.encode(payloadOf(parts)))
    return { name, accept: false, input, expect: { reason: 'other_payload' } }
  })
}

function repeated(...ids: readonly number[]): Payload['logitBias'] {
  return ids.map((id) => ({ id, biasMilli: 1 }))
}

function malformedCases(): VectorCase[] {
  const good = payloadCodec.encode(payloadOf({ messages: [HELLO] }))
  const decoded = decodeWire(good, LIMITS.payloadBytesMax)
  const wire: readonly Wire[] =
    decoded.action === 'accept' && Array.isArray(decoded.value) ? decoded.value : missing('a body is an array')
  const message = (toolCalls: Wire): Wire => [[2, '', toolCalls, '']]
  const cases: readonly (readonly [string, RejectReason, Uint8Array])[] = [
    ['the last byte cut off', 'bytes_truncated', good.subarray(0, -1)],
    ['a message without calls', 'body_malformed', encodeWire(wire.with(2, [[1, 'hi']]))],
    ['a fifth role', 'body_malformed', encodeWire(wire.with(2, [[4, 'hi', [], '']]))],
    ['a call with a member less', 'body_malformed', encodeWire(wire.with(2, message([['call_1', 'weather']])))],
    [
      'a call with a long name',
      'body_malformed',
      encodeWire(wire.with(2, message([['call_1', 'n'.repeat(65), '{}']]))),
    ],
    ['a wide bias', 'body_malformed', encodeWire(wire.with(6, [[5, -1n]]))],
    ['an unknown way to think', 'body_malformed', encodeWire(wire.with(4, 3))],
    ['the fields of an older form', 'body_malformed', encodeWire([...wire.slice(0, 2), [], ['x'], 0])],
  ]
  return cases.map(([name, reason, body]) => {
    return { name, accept: false, input: inputOf('chat', 'llama', body), expect: { reason } }
  })
}
