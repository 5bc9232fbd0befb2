import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { TOOL_FORMATS, type ToolFormat, type ToolSpec } from '../../../../models/backend.ts'
import { GrammarMatcher } from '../../../../models/gbnf/matcher.ts'
import { parseGbnf } from '../../../../models/gbnf/parse.ts'
import { toolGrammar } from '../../../../models/tools/grammar.ts'
import { createToolParser } from '../../../../models/tools/parser.ts'

const CITY = { type: 'object', properties: { city: { enum: ['Bern', 'Zürich'] } }, required: ['city'] }
const TOOLS: readonly ToolSpec[] = [
  { name: 'weather', description: '', parameters: CITY },
  { name: 'clock', description: '', parameters: { type: 'object', properties: {} } },
]
const BERN = '{"city":"Bern"}'

/** What a model would say to call these, format by format. */
const WRITTEN: Readonly<Record<ToolFormat, (calls: readonly (readonly [name: string, given: string])[]) => string>> = {
  none: (calls) => calls.map(([name, given]) => `{"name": "${name}", "arguments": ${given}}`).join('\n'),
  json: (calls) => calls.map(([name, given]) => `{"name": "${name}", "arguments": ${given}}`).join('\n'),
  hermes: (calls) =>
    calls.map(([name, given]) => `<tool_call>\n{"name": "${name}", "arguments": ${given}}\n</tool_call>`).join('\n'),
  llama3: (calls) => calls.map(([name, given]) => `{"name": "${name}", "parameters": ${given}}`).join(''),
  mistral: (calls) =>
    `[TOOL_CALLS][${calls.map(([name, given]) => `{"name": "${name}", "arguments": ${given}}`).join(', ')}]`,
  mistral11: (calls) => calls.map(([name, given]) => `[TOOL_CALLS]${name}[ARGS]${given}`).join(''),
  phi: (calls) =>
    `<|tool_call|>[${calls.map(([name, given]) => `{"name": "${name}", "arguments": ${given}}`).join(', ')}]<|/tool_call|>`,
  gemma: (calls) => calls.map(([name, given]) => `<|tool_call>call:${name}${given}<tool_call|>`).join(''),
}

type Choice = Parameters<typeof toolGrammar>[2]

/** Whether the grammar of this choice lets a model say exactly this. */
function allows(format: ToolFormat, choice: Choice, hasMany: boolean, text: string): boolean {
  const grammar = toolGrammar(format, TOOLS, choice, hasMany)
  assert.ok('gbnf' in grammar)
  const parsed = 'gbnf' in grammar ? parseGbnf(grammar.gbnf) : undefined
  assert.ok(parsed?.allowsSomething)
  if (parsed === undefined) return false
  const matcher = new GrammarMatcher(parsed)
  for (const byte of Buffer.from(text)) {
    if (!matcher.allows(Uint8Array.of(byte))) return false
    matcher.accept(Uint8Array.of(byte))
  }
  return matcher.mayEnd
}

for (const format of TOOL_FORMATS) {
  const write = WRITTEN[format]
  const one = write([['weather', BERN]])
  const two = write([
    ['weather', BERN],
    ['clock', '{}'],
  ])

  test(`${format}: a call that must be made is one of the tools with arguments of its schema`, () => {
    assert.ok(allows(format, 'required', false, one))
    assert.ok(allows(format, 'required', false, write([['clock', '{}']])))
    assert.not(allows(format, 'required', false, write([['weather', '{"city":"Genf"}']])))
    assert.not(allows(format, 'required', false, write([['weather', '{}']])))
    assert.not(allows(format, 'required', false, write([['rm', '{}']])))
    assert.not(allows(format, 'required', false, write([['clock', '{"a":1}']])))
    assert.not(allows(format, 'required', true, `No. ${one}`))
    assert.not(allows(format, 'required', true, ''))
  })

  test(`${format}: the tool of a name is called once, several only where they may be`, () => {
    assert.ok(allows(format, { name: 'weather' }, true, one))
    assert.not(allows(format, { name: 'clock' }, true, one))
    assert.not(
      allows(
        format,
        { name: 'weather' },
        true,
        write([
          ['weather', BERN],
          ['weather', BERN],
        ]),
      ),
    )
    assert.not(allows(format, 'required', false, two))
    assert.is(allows(format, 'required', true, two), format !== 'llama3')
  })

  test(`${format}: what the grammar lets a model say is read as the calls that it is`, () => {
    const parser = createToolParser(format, ['weather', 'clock'])
    const [first, last] = [parser.push(format === 'llama3' ? one : two), parser.end()]
    assert.is(first.text + last.text, '')
    const calls = [...first.calls, ...last.calls]
    assert.equal(
      calls.flatMap(({ name = [] }) => name),
      format === 'llama3' ? ['weather'] : ['weather', 'clock'],
    )
    const given = calls.filter(({ index }) => index === 0).map((call) => call.arguments)
    assert.is(given.join(''), BERN)
  })
}

test('parameters that no grammar can hold to are refused by name', () => {
  const faultOf = (parameters: ToolSpec['parameters']): string => {
    const grammar = toolGrammar('json', [{ name: 'f', description: '', parameters }], 'required', true)
    return 'fault' in grammar ? grammar.fault : 'none'
  }
  assert.match(faultOf({ type: 'string' }), 'type object')
  assert.match(faultOf({ type: 'object', properties: { a: { not: {} } } }), 'not')
  assert.is(faultOf({}), 'none')
  assert.is(faultOf({ type: 'object', additionalProperties: true }), 'none')
  assert.is(faultOf({ properties: { a: { type: 'string' } } }), 'none')
  assert.is(
    faultOf({ $ref: '#/$defs/a', $defs: { a: { type: 'object', properties: { n: { type: 'integer' } } } } }),
    'none',
  )
})

test.run()
