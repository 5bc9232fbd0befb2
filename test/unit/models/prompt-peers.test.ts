/** Prompts of many models' templates, against what llama.cpp's own tests expect of them. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ChatMessage } from '../../../models/backend.ts'
import { createPrompter } from '../../../models/prompt.ts'
import { llamaSource } from '../../support/llama-source.ts'

type Case = {
  readonly name: string
  readonly template: string
  readonly expected: string
  readonly bos: string
  readonly eos: string
}

const CHAT: readonly ChatMessage[] = [
  { role: 'system', content: 'You are a helpful assistant' },
  { role: 'user', content: 'Hello' },
  { role: 'assistant', content: 'Hi there' },
  { role: 'user', content: 'Who are you' },
  { role: 'assistant', content: '   I am an assistant   ' },
  { role: 'user', content: 'Another question' },
]
/** Where llama.cpp puts one line's end between the system's words and the user's, and we an empty line. */
const MERGED = /(You are a helpful assistant)\n(?=Hello)/
const FIELD = /\/\* \.(\w+?)=? ?\*\/\s+(?:u8|U8C\()?((?:"(?:[^"\\]|\\.)*"\s*)+)/g

/** Reads the table of tests/test-chat-template.cpp. */
function casesOf(source: string): readonly Case[] {
  const table = source.slice(source.indexOf('std::vector<TestCase> test_cases'))
  const entries = table.split('/* .name= */').slice(1)
  return entries
    .filter((entry) => !/supported_with_jinja= \*\/ *false/.test(entry) && !entry.includes('.extra_conversation'))
    .map((entry) => {
      const fields = new Map(
        [...`/* .name= */${entry}`.matchAll(FIELD)].map(([, name = '', text = '']) => [name, literal(text)]),
      )
      const field = (name: string): string => fields.get(name) ?? ''
      const expected = field('expected_output_jinja') || field('expected_output')
      return {
        name: field('name'),
        template: field('template_str'),
        expected,
        bos: field('bos_token'),
        eos: field('eos_token'),
      }
    })
}

/** The text of C++ string literals that stand one after the other. */
function literal(text: string): string {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"/g)]
    .map(([, inner = '']) => inner.replace(/\\(.)/g, (_, code: string) => ({ n: '\n', t: '\t' })[code] ?? code))
    .join('')
}

const source = llamaSource()

if (source !== undefined)
  for (const { name, template, expected, bos, eos } of casesOf(source.text('tests/test-chat-template.cpp')))
    test(`${name}: the prompt is the one that llama.cpp expects`, () => {
      assert.ok(expected.length > 100 && template.length > 50, 'the table was read')
      const prompter = createPrompter({ template, bosToken: bos, eosToken: eos, controlTexts: [] })
      const rendered = prompter.render(CHAT).replace(/\r\n/g, '\n')
      const [ours, theirs] = [rendered, expected].map((text) =>
        bos !== '' && text.startsWith(bos) ? text.slice(bos.length) : text,
      )
      assert.is(
        ours,
        theirs?.replace(MERGED, (_, system: string) =>
          ours?.includes(`${system}\n\nHello`) ? `${system}\n\n` : `${system}\n`,
        ),
      )
    })

test.run()
