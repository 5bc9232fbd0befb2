/** One generation over a scripted model whose tokens are bytes: where it ends, what it tells beside its tokens. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { GenerateRequest, LoadedModel, TokenBatch } from '../../../models/backend.ts'
import { GenerateRun } from '../../../models/generate-run.ts'
import type { Progress, Step } from '../../../models/run.ts'
import { GREEDY, LLAMA, requestOf } from '../../support/ask-backend.ts'

const STOP_ID = 256
const MODEL: LoadedModel = {
  digest: '',
  engineId: 'scripted',
  vocabSize: 257,
  contextTokens: 1_024,
  slotCount: 1,
  templateDigest: '',
  stopIds: [STOP_ID],
  dimensions: 0,
  toolFormat: 'none',
  driver: { kind: 'lockstep', reason: '' },
}

/** Says the script's bytes behind the prefix, then the stop id, as far as the run goes; the runner-up is always `z`, then `y`. */
function say(script: string | Uint8Array, part: Partial<GenerateRequest> = {}): readonly Omit<TokenBatch, 'slot'>[] {
  const ids = [...Buffer.from(script), STOP_ID].slice(part.prefixIds?.length ?? 0)
  const detokenize = (list: readonly number[]): string => Buffer.from(list.filter((id) => id < STOP_ID)).toString()
  const request = { ...requestOf(Uint32Array.of(1, 2, 3)), sampling: GREEDY, ...part }
  const run = new GenerateRun(1, request, MODEL, detokenize)
  const batches: Omit<TokenBatch, 'slot'>[] = []
  for (const id of ids) {
    while (run.next().ask === 'none') run.take([])
    const { batch, ended } = run.take([{ ids: [id, 122, 121], logits: [3, 1, 0] }])
    if (batch !== undefined) batches.push(batch)
    if (ended) break
  }
  return batches
}

function outcome(batches: readonly Omit<TokenBatch, 'slot'>[]): string {
  return `${batches.map(({ text }) => text).join('')}|${batches.length}|${batches.at(-1)?.finish}`
}

test('without stop strings the stop token or the length ends it', () => {
  assert.is(outcome(say('abc')), 'abc|4|stop')
  assert.is(outcome(say('abc', { maxTokens: 2 })), 'ab|2|length')
})

test('the token that completes a stop string is the last, also at the length', () => {
  assert.is(outcome(say('abcdef', { stop: ['cd'] })), 'abcd|4|stop')
  assert.is(outcome(say('abcdef', { stop: ['cd'], maxTokens: 4 })), 'abcd|4|stop')
  assert.is(outcome(say('abcdef', { stop: ['cd'], maxTokens: 3 })), 'abc|3|length')
  assert.is(outcome(say('abcdef', { stop: ['ef', 'b'] })), 'ab|2|stop')
})

test('a stop string of many bytes is found when its last byte comes', () => {
  assert.is(outcome(say('aß日b', { stop: ['ß日'] })), 'aß日|6|stop')
  assert.is(outcome(say('🙂🙂', { stop: ['🙂'] })), '🙂|4|stop')
})

test('bytes that never become a character do not hide a stop string before or after them', () => {
  const broken = Uint8Array.of(0x61, 0xe6, 0x62, 0x63, 0xe6, 0x64)
  assert.is(outcome(say(broken, { stop: ['c'] })), 'a\ufffdbc|4|stop')
  assert.is(outcome(say(Uint8Array.of(0x61, 0xe6), { stop: ['\ufffd'], maxTokens: 2 })), 'a\ufffd|2|stop')
})

test('what another began goes on at any byte: characters and stop strings across the border are whole', () => {
  const script = 'aß日🙂b日🙂c'
  for (const stop of [[], ['🙂c'], ['日🙂c'], ['b日']]) {
    const whole = say(script, { stop })
    const ids = whole.flatMap((batch) => batch.ids)
    for (let cut = 1; cut < ids.length; cut += 1) {
      const rest = say(script, { stop, prefixIds: Uint32Array.from(ids.slice(0, cut)) })
      assert.equal(rest, whole.slice(cut), `cut at ${cut}, stop ${stop}`)
    }
  }
})

test('the prompt is read in its own chunks, then what another said in chunks of at most 63', () => {
  const prefixIds = new Uint32Array(130).fill(97)
  const run = new GenerateRun(1, { ...requestOf(new Uint32Array(600).fill(1), 1, 200), prefixIds }, MODEL, () => '')
  const steps: Step[] = []
  do steps.push(run.next())
  while (steps.at(-1)?.ask === 'none')
  assert.equal(
    steps.map(({ ids }) => ids.length),
    [512, 88, 63, 63, 4],
  )
})

test('each token tells its probability, and the best beside it when asked', () => {
  const [first, ...others] = say('ß', { topLogprobs: 2 })
  const total = Math.log(Math.E ** 3 + Math.E + 1)
  const [detail] = first?.details ?? []
  assert.ok(Math.abs((detail?.logprob ?? 0) - (3 - total)) < 1e-12)
  assert.is(detail?.text, '')
  assert.equal(
    detail?.top.map(({ id, text }) => ({ id, text })),
    [
      { id: 0xc3, text: '' },
      { id: 122, text: 'z' },
    ],
  )
  assert.ok(Math.abs((detail?.top[1]?.logprob ?? 0) - (1 - total)) < 1e-12)
  assert.ok(others.every(({ details }) => details?.length === 1))
  assert.ok(say('ß').every(({ details }) => details === undefined))
})

test('a penalty counts the output and not the prompt, and leaves the told probability alone', () => {
  const sampling = { ...LLAMA, temperature: 0, presencePenalty: 2, frequencyPenalty: 0.5 }
  const before = say('aaaa', { promptIds: new Uint32Array(9).fill(97), sampling, maxTokens: 3 })
  assert.equal(
    before.map(({ ids }) => ids[0]),
    [97, 122, 97],
  )
  assert.ok(Math.abs((before[1]?.logprobs[0] ?? 0) - (1 - Math.log(Math.E ** 3 + Math.E + 1))) < 1e-12)
})

test('a run that is cut short says what it holds', () => {
  const detokenize = (list: readonly number[]): string => Buffer.from(list).toString()
  const run = new GenerateRun(1, { ...requestOf(Uint32Array.of(1)), sampling: GREEDY }, MODEL, detokenize)
  run.next()
  run.take([{ ids: [0xc3], logits: [0] }])
  assert.equal(run.cancel(), { batch: { ids: [], logprobs: [], text: '\ufffd', finish: 'aborted' }, ended: true })
})

/** Tokens are bytes; what was asked is kept, and the engine answers by script. */
function follow(
  part: Partial<GenerateRequest>,
  answers: readonly (readonly number[])[],
): { readonly steps: Step[]; readonly text: string; readonly last: Progress | undefined } {
  const detokenize = (list: readonly number[]): string => Buffer.from(list.filter((id) => id < STOP_ID)).toString()
  const request = { ...requestOf(Uint32Array.of(1, 2, 3)), sampling: { ...LLAMA, temperature: 0 }, ...part }
  const run = new GenerateRun(1, request, MODEL, detokenize, (id) => (id < STOP_ID ? Uint8Array.of(id) : NOTHING))
  const steps: Step[] = []
  let [text, last]: [string, Progress | undefined] = ['', undefined]
  for (const ids of answers) {
    steps.push(run.next())
    last = run.take([{ ids, logits: ids.map((_, place) => -place) }])
    text += last.batch?.text ?? ''
    if (last.ended) break
  }
  return { steps, text, last }
}
const codes = (text: string): readonly number[] => [...Buffer.from(text)]
const NOTHING = new Uint8Array()

test('under a grammar the best token that it allows is taken, and the end comes only where it may', () => {
  const { text, last } = follow({ grammar: 'root ::= "no" | "yes"' }, [
    codes('xny'),
    [STOP_ID, ...codes('eo')],
    [...codes('x'), STOP_ID],
  ])
  assert.is(text, 'no')
  assert.is(last?.batch?.finish, 'stop')
  assert.ok(Math.abs((last?.batch?.logprobs[0] ?? 1) - 0) < 1e-12, 'the chance is among what is allowed')
})

test('where none of the best is allowed, the last token is asked for once more, with the whole vocabulary', () => {
  const everything = [...Array(MODEL.vocabSize).keys()].reverse()
  const { steps, text } = follow({ grammar: 'root ::= [b-d] "z"' }, [codes('xy'), everything, codes('z')])
  assert.equal(
    steps.map(({ ids, isAgain = false }) => [ids, isAgain]),
    [
      [[1, 2, 3], false],
      [[3], true],
      [codes('d'), false],
    ],
  )
  assert.is(text, 'dz')
})

test('an answer that can neither go on nor end fails by name', () => {
  const { last } = follow({ grammar: 'root ::= "a"' }, [codes('x'), codes('xyz')])
  assert.ok(last?.ended)
  assert.is(last.failure?.code, 'CF_JOB_INVALID')
  assert.equal(last.failure?.detail, { field: 'grammar', reason: 'stuck' })
})

test('biases are asked for with every token that is chosen, and not for prompt chunks without one', () => {
  const bias = [[7, -100]] as const
  const request = { promptIds: new Uint32Array(513).fill(1), sampling: { ...LLAMA, logitBias: bias } }
  const { steps } = follow(request, [codes('a')])
  assert.is(steps[0]?.bias, undefined)
  const short = follow({ sampling: { ...LLAMA, logitBias: bias } }, [codes('a'), codes('b')])
  assert.equal(
    short.steps.map((step) => step.bias),
    [bias, bias],
  )
})

test('a grammar that is none is refused before anything is computed, and one for tokens without bytes by name', () => {
  assert.throws(() => follow({ grammar: 'root ::= (' }, []), /CF_JOB_INVALID/)
  assert.throws(() => follow({ grammar: 'root ::= root' }, []), /CF_JOB_INVALID/)
  const request = { ...requestOf(Uint32Array.of(1)), sampling: LLAMA, grammar: 'root ::= "a"' }
  assert.throws(() => new GenerateRun(1, request, MODEL, () => ''), /CF_MODEL_UNSUPPORTED/)
})

test.run()
