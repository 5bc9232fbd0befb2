/** The OpenAI-compatible routes, described. What a request may hold beyond this is refused by name. */
import { CHAT_FORM, CHAT_SCHEMAS, SAMPLING, TOKEN_IDS, whole } from './openapi-chat.ts'
import {
  count,
  flag,
  IDEMPOTENCY,
  inPath,
  integer,
  json,
  list,
  type Operation,
  object,
  ok,
  oneOf,
  ref,
  type Schema,
  text,
  textOrNull,
} from './openapi-kit.ts'

const TAG = 'OpenAI'
const ANSWER_ERRORS = [402, 404, 409, 413]
/** Shared by chats and completions. */
const ANSWERING: Readonly<Record<string, Schema>> = {
  ...SAMPLING,
  n: whole(1, 8),
  stream: flag,
  stream_options: object({}, { include_usage: flag, include_obfuscation: flag }),
  user: textOrNull,
  cfab: ref('JobWish'),
}
const CHOSEN_JOBS: Schema = {
  oneOf: [ref('Outcome'), object({ choices: list(ref('Outcome')) })],
  description: 'Of the one job, or of the job of each choice.',
}
const FINISH = oneOf('stop', 'length')
const PROMPT: Schema = {
  oneOf: [text, TOKEN_IDS, { ...list({ oneOf: [text, TOKEN_IDS] }), minItems: 1, maxItems: 16 }],
  description: 'Texts, or token ids that are taken as they are.',
}

export const OPENAI_SCHEMAS: Readonly<Record<string, Schema>> = {
  Model: object({
    id: text,
    object: { const: 'model' },
    created: integer,
    owned_by: text,
    cfab: object({
      digest: text,
      bytes: count,
      parameters: text,
      context_tokens: count,
      task: oneOf('chat', 'embedding'),
      dimensions: { ...count, description: 'Length of a vector; 0 for chat models.' },
      tool_format: {
        type: ['string', 'null'],
        description:
          'How the model writes calls of tools; json: told in words; none: it can only be made to; null: not loaded yet.',
      },
      loaded: flag,
    }),
  }),
  ...CHAT_SCHEMAS,
  ChatRequest: object(
    { model: text, messages: { ...list(ref('Message')), minItems: 1, maxItems: 256 } },
    {
      ...ANSWERING,
      ...CHAT_FORM,
      max_tokens: whole(1, 131_072),
      max_completion_tokens: whole(1, 131_072),
      logprobs: { type: ['boolean', 'null'] },
      top_logprobs: whole(0, 20),
    },
  ),
  Chat: object({
    id: text,
    object: { const: 'chat.completion' },
    created: integer,
    model: text,
    choices: list(
      object({
        index: count,
        message: object(
          { role: { const: 'assistant' }, content: textOrNull, refusal: { type: 'null' } },
          { reasoning_content: text, tool_calls: list(ref('ToolCall')) },
        ),
        logprobs: { type: ['object', 'null'] },
        finish_reason: oneOf('stop', 'length', 'tool_calls'),
      }),
    ),
    usage: ref('Usage'),
    cfab: CHOSEN_JOBS,
  }),
  CompletionRequest: object(
    { model: text, prompt: PROMPT },
    {
      ...ANSWERING,
      max_tokens: whole(1, 131_072),
      logprobs: whole(0, 5),
      echo: { type: ['boolean', 'null'] },
      best_of: { type: ['integer', 'null'], description: 'The value of n, or absent.' },
    },
  ),
  Completion: object({
    id: text,
    object: { const: 'text_completion' },
    created: integer,
    model: text,
    choices: list(object({ index: count, text, logprobs: { type: ['object', 'null'] }, finish_reason: FINISH })),
    usage: ref('Usage'),
    cfab: CHOSEN_JOBS,
  }),
  EmbeddingRequest: object(
    { model: text, input: { oneOf: [text, { ...list(text), minItems: 1, maxItems: 256 }] } },
    {
      encoding_format: oneOf('float', 'base64'),
      dimensions: { type: ['integer', 'null'], description: "The model's own, or absent." },
      user: textOrNull,
      cfab: ref('JobWish'),
    },
  ),
  Embeddings: object({
    object: { const: 'list' },
    data: list(
      object({
        object: { const: 'embedding' },
        index: count,
        embedding: { oneOf: [list({ type: 'number' }), text], description: 'Numbers, or base64 of little-endian f32.' },
      }),
    ),
    model: text,
    usage: ref('Usage'),
    cfab: { oneOf: [ref('Outcome'), object({ jobs: list(ref('Outcome')) })] },
  }),
}

/** Whole as JSON, or as server-sent events when the request says `stream`. */
function answered(schema: string): Operation['answers'] {
  const description = 'The answer; with `stream`, events whose data are chunks of it, then `[DONE]`.'
  return { 200: { description, content: { ...json(ref(schema)), 'text/event-stream': text } } }
}

export const OPENAI_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'listModels', method: 'GET', path: '/v1/models', role: 'read', tag: TAG },
    summary: 'The models of this node.',
    answers: ok('All of them.', object({ object: { const: 'list' }, data: list(ref('Model')) })),
  },
  {
    ...{ id: 'getModel', method: 'GET', path: '/v1/models/:id', role: 'read', tag: TAG },
    summary: 'One model.',
    parameters: [inPath('id', 'Model id.')],
    answers: ok('The model.', ref('Model')),
    errors: [404],
  },
  {
    ...{ id: 'createChat', method: 'POST', path: '/v1/chat/completions', role: 'user', tag: TAG },
    summary: 'Answer a chat; each choice is a job that is paid and has a receipt.',
    parameters: [IDEMPOTENCY],
    body: json(ref('ChatRequest')),
    answers: answered('Chat'),
    errors: ANSWER_ERRORS,
  },
  {
    ...{ id: 'createCompletion', method: 'POST', path: '/v1/completions', role: 'user', tag: TAG },
    summary: 'Continue texts as they stand.',
    parameters: [IDEMPOTENCY],
    body: json(ref('CompletionRequest')),
    answers: answered('Completion'),
    errors: ANSWER_ERRORS,
  },
  {
    ...{ id: 'createEmbeddings', method: 'POST', path: '/v1/embeddings', role: 'user', tag: TAG },
    summary: 'Turn texts into unit vectors.',
    parameters: [IDEMPOTENCY],
    body: json(ref('EmbeddingRequest')),
    answers: ok('A vector for each input, in order.', ref('Embeddings')),
    errors: ANSWER_ERRORS,
  },
]
