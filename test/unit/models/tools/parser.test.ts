import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ToolFormat } from '../../../../models/backend.ts'
import { createToolParser } from '../../../../models/tools/parser.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const SEED = testSeed()
const NAMES = ['weather', 'clock']
const BERN = { city: 'Bern "the" {old}]', near: [{ a: 1 }, {}], deep: { b: '}' } }

type Call = { readonly name: string; readonly given: string }
type Said = { readonly text: string; readonly calls: readonly Call[] }

/** @param cut  how many characters come at a time */
function said(format: ToolFormat, text: string, cut: (at: number) => number = () => 1): Said {
  const parser = createToolParser(format, NAMES)
  const calls: { name: string; given: string }[] = []
  let shown = ''
  const take = ({ text: more, calls: parts }: ReturnType<typeof parser.push>): void => {
    shown += more
    for (const { index, name, arguments: given } of parts) {
      assert.is(index, name === undefined ? calls.length - 1 : calls.length, 'calls are told one after the other')
      if (name !== undefined) calls.push({ name, given })
      else calls[index] = { name: calls[index]?.name ?? '', given: (calls[index]?.given ?? '') + given }
    }
  }
  for (let at = 0; at < text.length; ) {
    const next = at + cut(at)
    take(parser.push(text.slice(at, next)))
    at = next
  }
  take(parser.end())
  return { text: shown, calls }
}

const call = (given: object = BERN, name = 'weather'): Call => ({ name, given: JSON.stringify(given) })
const object = (name: string, given: object, member = 'arguments'): string => JSON.stringify({ name, [member]: given })

const CASES: readonly (readonly [what: string, format: ToolFormat, text: string, said: Said])[] = [
  ['words', 'hermes', 'Hello there.\n', { text: 'Hello there.\n', calls: [] }],
  ['nothing', 'hermes', '', { text: '', calls: [] }],
  ['a call', 'hermes', `<tool_call>\n${object('weather', BERN)}\n</tool_call>`, { text: '', calls: [call()] }],
  [
    'words, then two calls',
    'hermes',
    `One moment.\n\n<tool_call>\n${object('weather', BERN)}\n</tool_call>\n<tool_call>\n${object('clock', {})}\n</tool_call>\n`,
    { text: 'One moment.', calls: [call(), call({}, 'clock')] },
  ],
  [
    'words behind a call',
    'hermes',
    `<tool_call>${object('clock', {})}</tool_call>\nDone.`,
    { text: 'Done.', calls: [call({}, 'clock')] },
  ],
  [
    'arguments before the name',
    'hermes',
    `<tool_call>{"arguments": {"city": "Bern"}, "name": "weather"}</tool_call>`,
    { text: '', calls: [call({ city: 'Bern' })] },
  ],
  [
    'arguments in a string',
    'hermes',
    `<tool_call>{"name": "weather", "arguments": "{\\"city\\": 1}"}</tool_call>`,
    { text: '', calls: [{ name: 'weather', given: '{"city": 1}' }] },
  ],
  [
    'a call without arguments',
    'hermes',
    '<tool_call>{"name": "clock"}</tool_call>',
    { text: '', calls: [call({}, 'clock')] },
  ],
  [
    'more behind the arguments',
    'hermes',
    '<tool_call>{"name": "clock", "arguments": {"a":{}}, "id": "x", "more": {"b": {}}}</tool_call>',
    { text: '', calls: [call({ a: {} }, 'clock')] },
  ],
  [
    'a broken call',
    'hermes',
    '<tool_call>nothing</tool_call> so',
    { text: '<tool_call>nothing</tool_call> so', calls: [] },
  ],
  [
    'a call of nothing',
    'hermes',
    '<tool_call>{"city": 1}</tool_call>',
    { text: '<tool_call>{"city": 1}</tool_call>', calls: [] },
  ],
  ['a mark that is none', 'hermes', 'a <tool_box> b <tool', { text: 'a <tool_box> b <tool', calls: [] }],
  [
    'a call that is cut off',
    'hermes',
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Be',
    { text: '', calls: [{ name: 'weather', given: '{"city": "Be' }] },
  ],
  ['a head that is cut off', 'hermes', 'So <tool_call>{"na', { text: 'So <tool_call>{"na', calls: [] }],
  [
    'a closing mark that is cut off',
    'hermes',
    `<tool_call>${object('clock', {})}\n</tool_`,
    { text: '', calls: [call({}, 'clock')] },
  ],
  [
    'a list',
    'mistral',
    `[TOOL_CALLS] [${object('weather', BERN)}, ${object('clock', {})}]`,
    { text: '', calls: [call(), call({}, 'clock')] },
  ],
  [
    'a list and words behind it',
    'mistral',
    `Well.[TOOL_CALLS][${object('clock', {})}] Done.`,
    { text: 'Well.\nDone.', calls: [call({}, 'clock')] },
  ],
  ['a list of nothing', 'mistral', '[TOOL_CALLS] I cannot.', { text: '[TOOL_CALLS] I cannot.', calls: [] }],
  [
    'names before arguments',
    'mistral11',
    `[TOOL_CALLS]weather[ARGS]${JSON.stringify(BERN)}[TOOL_CALLS]clock[CALL_ID]abc123def[ARGS]{}`,
    { text: '', calls: [call(), call({}, 'clock')] },
  ],
  ['a name and no arguments', 'mistral11', '[TOOL_CALLS]weather\nno', { text: '[TOOL_CALLS]weather\nno', calls: [] }],
  [
    'a list between marks',
    'phi',
    `<|tool_call|>[${object('weather', BERN)}]<|/tool_call|>`,
    { text: '', calls: [call()] },
  ],
  ['parameters', 'llama3', object('weather', BERN, 'parameters'), { text: '', calls: [call()] }],
  [
    'parameters behind a tag',
    'llama3',
    `<|python_tag|>${object('weather', BERN, 'parameters')}`,
    { text: '', calls: [call()] },
  ],
  ['JSON of another kind', 'llama3', '{"legs": 4} is it.', { text: '{"legs": 4} is it.', calls: [] }],
  ['plain JSON', 'json', object('weather', BERN), { text: '', calls: [call()] }],
  [
    'two lines of JSON',
    'json',
    `${object('weather', BERN)}\n${object('clock', {})}`,
    { text: '', calls: [call(), call({}, 'clock')] },
  ],
  ['JSON in a fence', 'json', `\`\`\`json\n${object('clock', {})}\n\`\`\``, { text: '', calls: [call({}, 'clock')] }],
  ['a list of JSON', 'json', `[${object('clock', {})}]`, { text: '', calls: [call({}, 'clock')] }],
  [
    'a call as the API writes it',
    'json',
    `{"type": "function", "function": ${object('clock', {})}}`,
    { text: '', calls: [call({}, 'clock')] },
  ],
  ['a tool that was not offered', 'json', object('rm', {}), { text: object('rm', {}), calls: [] }],
  [
    'a name of something else',
    'json',
    '{"name": "Bern", "legs": 4}',
    { text: '{"name": "Bern", "legs": 4}', calls: [] },
  ],
  ['JSON behind words', 'json', `So: ${object('clock', {})}`, { text: `So: ${object('clock', {})}`, calls: [] }],
  ['code', 'json', '```js\nlet a = 1\n```', { text: '```js\nlet a = 1\n```', calls: [] }],
  ['a footnote', 'json', '[1] Bern', { text: '[1] Bern', calls: [] }],
  [
    'a notation of its own',
    'gemma',
    '<|tool_call>call:weather{city:<|"|>Bern "{old}:<|"|>,n:-1.5,near:[{a:true},{}],deep:{b:null}}<tool_call|>',
    {
      text: '',
      calls: [
        { name: 'weather', given: '{"city":"Bern \\"{old}:","n":-1.5,"near":[{"a":true},{}],"deep":{"b":null}}' },
      ],
    },
  ],
  [
    'JSON in its place',
    'gemma',
    '<|tool_call>call:clock{"a": [1]}<tool_call|>',
    { text: '', calls: [{ name: 'clock', given: '{"a": [1]}' }] },
  ],
  [
    'something broken',
    'gemma',
    '<|tool_call>call:clock{a<tool_call|>',
    { text: '<|tool_call>call:clock{a<tool_call|>', calls: [] },
  ],
]

for (const [what, format, text, expected] of CASES)
  test(`${format}: ${what} is the same however it is cut`, () => {
    assert.equal(said(format, text), expected, 'by characters')
    assert.equal(
      said(format, text, () => text.length),
      expected,
      'at once',
    )
    const random = seededRandom(SEED)
    for (let round = 0; round < 20; round += 1)
      assert.equal(
        said(format, text, () => 1 + random.below(9)),
        expected,
        'at random',
      )
  })

test('arguments are passed on before they are whole', () => {
  const parser = createToolParser('hermes', NAMES)
  assert.equal(parser.push('<tool_call>\n{"name": "weather", "arguments": {"ci').calls, [
    { index: 0, name: 'weather', arguments: '{"ci' },
  ])
  assert.equal(parser.push('ty": "Bern"').calls, [{ index: 0, arguments: 'ty": "Bern"' }])
  assert.equal(parser.push('}}\n</tool_call>').calls, [{ index: 0, arguments: '}' }])
})

test('hostile texts are read in time that grows with their length', () => {
  const texts = [
    '{"name": "',
    '{"a":',
    '<tool_call>',
    '<tool_call>{',
    '[TOOL_CALLS]a',
    '```json\n[',
    '<|tool_call>call:x{',
    '<',
    '"',
  ]
  for (const format of ['hermes', 'json', 'llama3', 'mistral', 'mistral11', 'phi', 'gemma'] as const) {
    for (const text of texts) {
      const startMs = performance.now()
      const { text: shown, calls } = said(format, text.repeat(4_000), () => 64)
      assert.ok(performance.now() - startMs < 2_000, `${format} ${text} took ${performance.now() - startMs} ms`)
      assert.ok(shown.length > 0 || calls.length > 0, `${format} ${text}`)
    }
  }
})

test.run()
