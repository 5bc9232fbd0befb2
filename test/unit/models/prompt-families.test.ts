/** Prompts of the families in use, written down by hand from the documentation of their formats. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ChatMessage, ToolSpec } from '../../../models/backend.ts'
import { createPrompter, type Prompter } from '../../../models/prompt.ts'
import { llamaSource } from '../../support/llama-source.ts'

const CHAT: readonly ChatMessage[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Hello' },
  { role: 'assistant', content: 'Hi!' },
  { role: 'user', content: 'Bye' },
]
const WEATHER: ToolSpec = {
  name: 'get_weather',
  description: 'Current weather',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}
const TOOLS = { tools: [WEATHER] }
const WEATHER_JSON =
  '{"type": "function", "function": {"name": "get_weather", "description": "Current weather", "parameters": ' +
  '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}'
const CALLED: readonly ChatMessage[] = [
  { role: 'user', content: 'Weather in Paris?' },
  {
    role: 'assistant',
    content: '',
    toolCalls: [{ id: 'call12345', name: 'get_weather', arguments: '{"city":"Paris"}' }],
  },
  { role: 'tool', content: '{"celsius": 21}', toolCallId: 'call12345' },
]

const source = llamaSource()

function prompterOf(name: string, bosToken: string, eosToken: string): Prompter {
  const template = source?.text(`models/templates/${name}.jinja`) ?? ''
  return createPrompter({ template, bosToken, eosToken, controlTexts: [] })
}

function llamaTests(): void {
  const HEAD = '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n'
  const DATES = 'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n'
  const turn = (role: string, text: string): string =>
    `<|start_header_id|>${role}<|end_header_id|>\n\n${text}<|eot_id|>`
  const OPENED = '<|start_header_id|>assistant<|end_header_id|>\n\n'
  const prompter = prompterOf('meta-llama-Llama-3.2-3B-Instruct', '<|begin_of_text|>', '<|eot_id|>')

  test('Llama 3.2: every turn has a header, and the system knows one fixed date', () => {
    assert.is(prompter.toolFormat, 'llama3')
    const expected = `${HEAD}${DATES}Be brief.<|eot_id|>${turn('user', 'Hello')}${turn('assistant', 'Hi!')}${turn('user', 'Bye')}${OPENED}`
    assert.is(prompter.render(CHAT), expected)
  })

  test('Llama 3.2: tools stand in the first user message, a call is JSON, its answer comes from ipython', () => {
    const described = JSON.stringify(JSON.parse(WEATHER_JSON), null, 4)
    const asked =
      'Given the following functions, please respond with a JSON for a function call with its proper arguments that best ' +
      'answers the given prompt.\n\nRespond in the format {"name": function name, "parameters": dictionary of argument name ' +
      `and its value}.Do not use variables.\n\n${described}\n\nWeather in Paris?`
    const call = '{"name": "get_weather", "parameters": {"city": "Paris"}}'
    const answer = JSON.stringify('{"celsius": 21}')
    assert.is(
      prompter.render(CALLED, TOOLS),
      `${HEAD}Environment: ipython\n${DATES}<|eot_id|>${turn('user', asked)}${turn('assistant', call)}${turn('ipython', answer)}${OPENED}`,
    )
  })

  test('Llama 3.2: two calls in one turn are refused, as its template has it', () => {
    const [call] = CALLED[1]?.toolCalls ?? []
    assert.ok(call)
    const twice: ChatMessage = { role: 'assistant', content: '', toolCalls: [call, { ...call, id: 'call12346' }] }
    assert.throws(() => prompter.render([{ role: 'user', content: 'Hi' }, twice], TOOLS), /CF_JOB_INVALID/)
  })
}

const chatml = (role: string, text: string): string => `<|im_start|>${role}\n${text}<|im_end|>\n`

function qwenTests(): void {
  const ABOUT_TOOLS =
    '# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures ' +
    `within <tools></tools> XML tags:\n<tools>\n${WEATHER_JSON}\n</tools>\n\nFor each function call, return a json object with ` +
    'function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": ' +
    '<args-json-object>}\n</tool_call>'
  const CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
  const ANSWER = '<tool_response>\n{"celsius": 21}\n</tool_response>'
  const DEFAULT = 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.'

  test('Qwen 2.5: ChatML, with its own system message where none is given', () => {
    const prompter = prompterOf('Qwen-Qwen2.5-7B-Instruct', '', '<|im_end|>')
    const rest = `${chatml('user', 'Hello')}${chatml('assistant', 'Hi!')}${chatml('user', 'Bye')}<|im_start|>assistant\n`
    assert.is(prompter.toolFormat, 'hermes')
    assert.is(prompter.render(CHAT), chatml('system', 'Be brief.') + rest)
    assert.is(prompter.render(CHAT.slice(1)), chatml('system', DEFAULT) + rest)
  })

  test('Qwen 2.5: tools in the system message, calls and answers in tags', () => {
    const prompter = prompterOf('Qwen-Qwen2.5-7B-Instruct', '', '<|im_end|>')
    assert.is(
      prompter.render(CALLED, TOOLS),
      `${chatml('system', `${DEFAULT}\n\n${ABOUT_TOOLS}`)}${chatml('user', 'Weather in Paris?')}${chatml('assistant', CALL)}${chatml('user', ANSWER)}<|im_start|>assistant\n`,
    )
  })

  test('Qwen 3: thinking is switched off by thoughts that are empty', () => {
    const prompter = prompterOf('Qwen-Qwen3-0.6B', '', '<|im_end|>')
    const asked = `${chatml('user', 'Hello')}<|im_start|>assistant\n`
    assert.is(prompter.render([{ role: 'user', content: 'Hello' }]), asked)
    assert.is(prompter.render([{ role: 'user', content: 'Hello' }], { thinking: true }), asked)
    assert.is(
      prompter.render([{ role: 'user', content: 'Hello' }], { thinking: false }),
      `${asked}<think>\n\n</think>\n\n`,
    )
    assert.equal(prompter.thinkFormat, {
      open: '<think>',
      close: '</think>',
      startsOpen: { default: false, on: false, off: false },
    })
  })

  test('Qwen 3: earlier thoughts are left out, tools are told as in 2.5', () => {
    const prompter = prompterOf('Qwen-Qwen3-0.6B', '', '<|im_end|>')
    const thought: ChatMessage = { role: 'assistant', content: '<think>\nhm\n</think>\n\nHi!' }
    const again: ChatMessage = { role: 'user', content: 'Bye' }
    assert.is(
      prompter.render([{ role: 'user', content: 'Hello' }, thought, again]),
      `${chatml('user', 'Hello')}${chatml('assistant', 'Hi!')}${chatml('user', 'Bye')}<|im_start|>assistant\n`,
    )
    assert.is(
      prompter.render(CALLED, TOOLS),
      `${chatml('system', ABOUT_TOOLS)}${chatml('user', 'Weather in Paris?')}${chatml('assistant', CALL)}${chatml('user', ANSWER)}<|im_start|>assistant\n`,
    )
  })
}

function gemmaTests(): void {
  const turn = (role: string, text: string): string => `<start_of_turn>${role}\n${text}<end_of_turn>\n`
  const prompter = prompterOf('google-gemma-2-2b-it', '<bos>', '<eos>')

  test('Gemma 2: the assistant is called model, and the system speaks through the first user message', () => {
    const rest = `${turn('model', 'Hi!')}${turn('user', 'Bye')}<start_of_turn>model\n`
    assert.is(prompter.render(CHAT), `<bos>${turn('user', 'Be brief.\n\nHello')}${rest}`)
    assert.is(prompter.render(CHAT.slice(1)), `<bos>${turn('user', 'Hello')}${rest}`)
  })

  test('Gemma 2: two user messages in a row are refused, as its template has it', () => {
    const asked: ChatMessage = { role: 'user', content: 'Hello' }
    assert.throws(() => prompter.render([asked, asked]), /CF_JOB_INVALID/)
  })

  test('Gemma 2: tools that its template does not know are told in words, and called in JSON', () => {
    assert.is(prompter.toolFormat, 'json')
    const told =
      'You can call functions. To call one, answer with nothing but a JSON object of this form:\n' +
      '{"name": <name of the function>, "arguments": <object with its arguments>}\nThese are the functions:\n' +
      '{"name":"get_weather","description":"Current weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}'
    assert.is(
      prompter.render(CALLED, TOOLS),
      `<bos>${turn('user', `${told}\n\nWeather in Paris?`)}${turn('model', '{"name":"get_weather","arguments":{"city":"Paris"}}')}` +
        `${turn('user', 'Result of get_weather:\n{"celsius": 21}')}<start_of_turn>model\n`,
    )
  })
}

function mistralTests(): void {
  const prompter = prompterOf('mistralai-Mistral-Nemo-Instruct-2407', '<s>', '</s>')

  test('Mistral Nemo: instructions in brackets, the system with the last of them', () => {
    assert.is(prompter.toolFormat, 'mistral')
    assert.is(prompter.render(CHAT), '<s>[INST]Hello[/INST]Hi!</s>[INST]Be brief.\n\nBye[/INST]')
  })

  test('Mistral Nemo: tools before the last instruction, ids of nine characters', () => {
    assert.is(
      prompter.render(CALLED, TOOLS),
      `<s>[AVAILABLE_TOOLS][${WEATHER_JSON}][/AVAILABLE_TOOLS][INST]Weather in Paris?[/INST]` +
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "call12345"}]</s>' +
        '[TOOL_RESULTS]{"content": {"celsius": 21}, "call_id": "call12345"}[/TOOL_RESULTS]',
    )
  })

  test('Mistral Nemo: what the system says is not lost where a tool speaks last', () => {
    assert.match(
      prompter.render([{ role: 'system', content: 'Be brief.' }, ...CALLED], TOOLS),
      /\[INST\]Be brief\.\n\nWeather in Paris\?\[\/INST\]\[TOOL_CALLS\]/,
    )
  })

  test('Mistral Nemo: an id of another length becomes one of nine characters, the same in call and answer', () => {
    const id = 'call_abcdefghijklmnop'
    const renamed = CALLED.map((message) => ({
      ...message,
      ...(message.toolCalls === undefined ? {} : { toolCalls: message.toolCalls.map((call) => ({ ...call, id })) }),
      ...(message.toolCallId === undefined ? {} : { toolCallId: id }),
    }))
    const ids = [...prompter.render(renamed, TOOLS).matchAll(/id": "([^"]*)"/g)].map(([, found]) => found)
    assert.is(ids.length, 2)
    assert.is(new Set(ids).size, 1)
    assert.match(String(ids[0]), /^[0-9a-f]{9}$/)
  })

  test('Mistral Small 3.2: the name, then the arguments', () => {
    const small = prompterOf('Mistral-Small-3.2-24B-Instruct-2506', '<s>', '</s>')
    assert.is(small.toolFormat, 'mistral11')
    const rendered = small.render([{ role: 'system', content: 'Be brief.' }, ...CALLED], TOOLS)
    assert.is(
      rendered,
      `<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][AVAILABLE_TOOLS][${WEATHER_JSON}][/AVAILABLE_TOOLS]` +
        '[INST]Weather in Paris?[/INST][TOOL_CALLS]get_weather[CALL_ID]call12345[ARGS]{"city": "Paris"}</s>' +
        '[TOOL_RESULTS]call12345[TOOL_CONTENT]{"celsius": 21}[/TOOL_RESULTS]',
    )
  })
}

/** As its model card shows it. */
const PHI_4_MINI =
  "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}" +
  "{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}" +
  "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"

function phiTests(): void {
  test('Phi 3.5: a line for the role, a line for the words', () => {
    const prompter = prompterOf('microsoft-Phi-3.5-mini-instruct', '<s>', '<|endoftext|>')
    const turn = (role: string, text: string): string => `<|${role}|>\n${text}<|end|>\n`
    assert.is(
      prompter.render(CHAT),
      `${turn('system', 'Be brief.')}${turn('user', 'Hello')}${turn('assistant', 'Hi!')}${turn('user', 'Bye')}<|assistant|>\n`,
    )
  })

  test('Phi 4 mini: tools as JSON in the system message, calls in tags', () => {
    const prompter = createPrompter({ template: PHI_4_MINI, bosToken: '', eosToken: '<|endoftext|>', controlTexts: [] })
    assert.is(prompter.toolFormat, 'phi')
    const tools = JSON.stringify([JSON.parse(WEATHER_JSON).function])
    assert.is(
      prompter.render(CALLED, TOOLS),
      `<|system|>You are a helpful assistant with some tools.<|tool|>${tools}<|/tool|><|end|><|user|>Weather in Paris?<|end|>` +
        '<|assistant|><|tool_call|>[{"name":"get_weather","arguments":{"city":"Paris"}}]<|/tool_call|><|end|>' +
        '<|tool|>{"celsius": 21}<|end|><|assistant|>',
    )
  })
}

if (source !== undefined) {
  llamaTests()
  qwenTests()
  gemmaTests()
  mistralTests()
  phiTests()
}

test.run()
