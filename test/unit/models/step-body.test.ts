import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { CallBatch } from '../../../models/frames.ts'
import { readStepBody } from '../../../models/step-body.ts'
import { missing } from '../../support/missing.ts'

type Chance = { readonly id: number; readonly logprob: number; readonly text: string }
type Token = Chance & {
  readonly call: number
  readonly slot: number
  readonly finish: number
  readonly chances?: readonly Chance[]
}

/** Written out by the layout in native/engine/skin_frame.h. */
function bodyOf(tokens: readonly Token[]): Uint8Array {
  const chances = tokens.flatMap(({ chances: list = [] }) => list)
  const texts = Buffer.from([...tokens, ...chances].map(({ text }) => text).join(''))
  const bytes = Buffer.alloc(8 + tokens.length * 28 + chances.length * 16 + texts.length)
  let at = bytes.writeUInt32LE(tokens.length, 0)
  at = bytes.writeUInt32LE(chances.length, at)
  for (const { call, slot, id, text, logprob, finish, chances: list = [] } of tokens) {
    at = bytes.writeUInt32LE(call, at)
    at = bytes.writeUInt32LE(slot, at)
    at = bytes.writeInt32LE(id, at)
    at = bytes.writeUInt32LE(text.length, at)
    at = bytes.writeDoubleLE(logprob, at)
    at = bytes.writeUInt16LE(finish, at)
    at = bytes.writeUInt16LE(list.length, at)
  }
  for (const { id, text, logprob } of chances) {
    at = bytes.writeInt32LE(id, at)
    at = bytes.writeUInt32LE(text.length, at)
    at = bytes.writeDoubleLE(logprob, at)
  }
  texts.copy(bytes, at)
  return bytes
}

const read = (body: Uint8Array): readonly CallBatch[] => readStepBody(body) ?? missing()

const HELLO: Token = { call: 4_000_000_000, slot: 2, id: 7, logprob: -0.5, text: 'Grüße 🙂', finish: 0 }
const NOTHING: Token = { call: 2, slot: 0, id: -1, logprob: 0, text: 'é', finish: 3 }

test('a step of nothing has no batches', () => {
  assert.equal(readStepBody(bodyOf([])), [])
})

test('each token becomes a batch, its text cut at whole characters', () => {
  assert.equal(readStepBody(bodyOf([HELLO, NOTHING, { ...HELLO, call: 3, text: '', finish: 1 }])), [
    { call: 4_000_000_000, batch: { slot: 2, ids: [7], logprobs: [-0.5], text: 'Grüße 🙂' } },
    { call: 2, batch: { slot: 0, ids: [], logprobs: [], text: 'é', finish: 'aborted' } },
    { call: 3, batch: { slot: 2, ids: [7], logprobs: [-0.5], text: '', finish: 'stop' } },
  ])
})

test('the first alternative is the token itself, and their texts follow all tokens', () => {
  const chances = [
    { id: 7, logprob: -0.5, text: 'ß' },
    { id: 9, logprob: -0.25, text: '' },
    { id: 1, logprob: -3, text: '🙂' },
  ]
  const [plain, detailed] = read(
    bodyOf([
      { ...HELLO, finish: 2 },
      { ...NOTHING, id: 7, finish: 0, chances },
    ]),
  )
  assert.equal(plain?.batch, { slot: 2, ids: [7], logprobs: [-0.5], text: 'Grüße 🙂', finish: 'length' })
  assert.equal(detailed?.batch.details, [
    {
      id: 7,
      logprob: -0.5,
      text: 'ß',
      top: [
        { id: 9, logprob: -0.25, text: '' },
        { id: 1, logprob: -3, text: '🙂' },
      ],
    },
  ])
})

test('bytes that lie somewhere in a larger buffer read the same', () => {
  const body = bodyOf([HELLO, NOTHING])
  const larger = new Uint8Array(body.length + 13)
  larger.set(body, 5)
  assert.equal(readStepBody(larger.subarray(5, 5 + body.length)), readStepBody(body))
})

test('an alternative asked for without others leaves an empty list', () => {
  const chances = [{ id: 7, logprob: -0.5, text: 'x' }]
  const [batch] = read(bodyOf([{ ...HELLO, chances }]))
  assert.equal(batch?.batch.details, [{ id: 7, logprob: -0.5, text: 'x', top: [] }])
})

test('a body whose counts do not fit its bytes is none, wherever it is cut', () => {
  const chances = [{ id: 7, logprob: -0.5, text: 'x' }]
  const body = bodyOf([HELLO, { ...HELLO, chances }])
  const textBytes = Buffer.byteLength('Grüße 🙂Grüße 🙂x')
  for (let length = 0; length < body.length - textBytes; length++)
    assert.is(readStepBody(body.subarray(0, length)), undefined, `${length} bytes`)
  for (const [at, count] of [
    [0, 0xffff_ffff],
    [4, 0xffff_ffff],
    [4, 0],
    [0, 1],
  ] as const) {
    const other = Buffer.from(body)
    other.writeUInt32LE(count, at)
    assert.is(readStepBody(other), undefined, `${count} at ${at}`)
  }
})

test.run()
