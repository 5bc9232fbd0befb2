/** What a generation may ask for, described: how it is drawn, tools, thinking, the form of the answer. */
import { CONTROL_LIMITS } from './bounds.ts'
import { count, flag, list, object, oneOf, ref, type Schema, text, textOrNull } from './openapi-kit.ts'

const number = (minimum: number, maximum: number): Schema => ({ type: ['number', 'null'], minimum, maximum })
export const whole = (minimum: number, maximum: number): Schema => ({ type: ['integer', 'null'], minimum, maximum })

/** Shared by chats, completions and intents. */
export const SAMPLING: Readonly<Record<string, Schema>> = {
  temperature: number(0, 2),
  top_k: whole(1, 40),
  top_p: { ...number(0.001, 1), description: 'Other than 1, it makes the job unverifiable.' },
  frequency_penalty: { ...number(-2, 2), description: 'Other than 0, it makes the job unverifiable.' },
  presence_penalty: { ...number(-2, 2), description: 'Other than 0, it makes the job unverifiable.' },
  logit_bias: {
    type: ['object', 'null'],
    maxProperties: 300,
    additionalProperties: { type: 'number', minimum: -100, maximum: 100 },
    description: 'Token ids and what is added to their logits. Any but 0 makes the job unverifiable.',
  },
  seed: { type: ['integer', 'null'] },
  stop: { oneOf: [textOrNull, { ...list({ type: 'string', minLength: 1, maxLength: 48 }), maxItems: 4 }] },
}

/** `speed` of a request. */
export const SPEED: Schema = {
  ...{ type: 'integer', minimum: 1, maximum: CONTROL_LIMITS.speedMax },
  description:
    'Tokens a second, as three witnesses see it, from which on a replica earns a bonus; absent: none is paid.',
}

export const TOKEN_IDS: Schema = { ...list(count), minItems: 1, maxItems: 131_072 }

const CALL: Schema = object({
  id: text,
  type: { const: 'function' },
  function: object({ name: text, arguments: text }),
})
const TOOL_NAME: Schema = { type: 'string', pattern: '^[a-zA-Z0-9_-]{1,64}$' }

/** What a chat may ask for beyond its words; the p2p route takes it too. */
export const CHAT_FORM: Readonly<Record<string, Schema>> = {
  tools: { ...list(ref('Tool')), maxItems: 128 },
  tool_choice: {
    oneOf: [
      oneOf('none', 'auto', 'required'),
      object({ type: { const: 'function' }, function: object({ name: TOOL_NAME }) }),
    ],
    description: 'A call that is forced follows a grammar: the job is unverifiable.',
  },
  parallel_tool_calls: { type: ['boolean', 'null'], description: 'False: at most one call.' },
  response_format: {
    oneOf: [
      object({ type: oneOf('text', 'json_object') }),
      object({
        type: { const: 'json_schema' },
        json_schema: object(
          { name: TOOL_NAME },
          { description: text, schema: { type: 'object' }, strict: { type: ['boolean', 'null'] } },
        ),
      }),
    ],
    description: 'Other than text, it makes the job unverifiable. Not beside tools.',
  },
  reasoning_effort: { enum: ['none', null], description: 'none: a model that can think first does not.' },
  chat_template_kwargs: {
    ...object({}, { enable_thinking: flag }),
    description: 'Whether a model that can think first does.',
  },
}

export const CHAT_SCHEMAS: Readonly<Record<string, Schema>> = {
  Tool: object({
    type: { const: 'function' },
    function: object(
      { name: TOOL_NAME },
      { description: text, parameters: { type: 'object' }, strict: { type: ['boolean', 'null'] } },
    ),
  }),
  ToolCall: CALL,
}
