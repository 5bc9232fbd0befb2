/** The messages of a chat as the OpenAI API writes them, calls of tools and their answers included. */
import { LIMITS } from '../../core/limits.ts'
import type { ChatMessage, ToolCall } from '../../models/backend.ts'
import { type Fields, list, object, oneOf, optional, refuseUnknown, required, shortText, text } from './fields.ts'
import { badRequest, unsupported } from './problem.ts'

type Read = { readonly message: ChatMessage; readonly path: string }

const KNOWN = new Set([
  ...['role', 'content', 'name', 'tool_calls', 'tool_call_id', 'function_call', 'refusal', 'audio', 'annotations'],
  ...['reasoning_content', 'parsed'],
])
/** What an answer of this API has beside its words: clients send it back as it was. A template shows no earlier thoughts. */
const OF_ANSWERS = new Set(['refusal', 'annotations', 'reasoning_content', 'parsed'])
const OFFERED: Readonly<Record<ChatMessage['role'], ReadonlySet<string>>> = {
  system: new Set(['role', 'content']),
  user: new Set(['role', 'content']),
  assistant: new Set(['role', 'content', 'tool_calls']),
  tool: new Set(['role', 'content', 'tool_call_id']),
}

export function readMessages(fields: Fields): readonly ChatMessage[] {
  const messages = required(fields, 'messages', list)
  if (messages.length === 0 || messages.length > LIMITS.messageCountMax)
    throw badRequest('messages', `1 to ${LIMITS.messageCountMax} messages`)
  const read = messages.map((message, index) => {
    const path = `messages[${index}].`
    return { message: readMessage(object(message, `messages[${index}]`), path), path }
  })
  checkAnswers(read)
  return read.map(({ message }) => message)
}

/** A tool answers a call that was made before it: templates look the call up. */
function checkAnswers(read: readonly Read[]): void {
  const called = new Set<string>()
  for (const { message, path } of read) {
    for (const { id } of message.toolCalls ?? []) called.add(id)
    if (message.toolCallId !== undefined && !called.has(message.toolCallId))
      throw badRequest(`${path}tool_call_id`, 'the id of a call in an earlier message')
  }
}

function readMessage(fields: Fields, path: string): ChatMessage {
  refuseUnknown(fields, KNOWN, path)
  const role = readRole(fields, path)
  for (const [name, value] of Object.entries(fields)) {
    if (!OFFERED[role].has(name) && !OF_ANSWERS.has(name) && value !== null && value !== undefined)
      throw unsupported(path + name, [...OFFERED[role]].join(', '))
  }
  const { content } = fields
  if (role === 'tool') {
    const toolCallId = required(fields, 'tool_call_id', shortText(LIMITS.toolNameBytesMax), path)
    return { role, content: readContent(content, `${path}content`), toolCallId }
  }
  const toolCalls = role === 'assistant' ? readToolCalls(fields, path) : []
  if (toolCalls.length === 0) return { role, content: readContent(content, `${path}content`) }
  const isSilent = content === null || content === undefined
  return { role, content: isSilent ? '' : readContent(content, `${path}content`), toolCalls }
}

function readRole(fields: Fields, path: string): ChatMessage['role'] {
  const role = required(fields, 'role', text(32), path)
  if (role === 'function') throw unsupported(`${path}role`, 'tool')
  const known = oneOf('system', 'developer', 'user', 'assistant', 'tool')(role, `${path}role`)
  // `developer` is OpenAI's newer word for the same instruction.
  return known === 'developer' ? 'system' : known
}

function readToolCalls(fields: Fields, path: string): readonly ToolCall[] {
  const calls = optional(fields, 'tool_calls', list, path) ?? []
  if (calls.length > LIMITS.toolCallCountMax)
    throw badRequest(`${path}tool_calls`, `at most ${LIMITS.toolCallCountMax} calls`)
  return calls.map((call, index) => {
    const place = `${path}tool_calls[${index}]`
    return readToolCall(object(call, place), `${place}.`)
  })
}

const CALL_FIELDS = new Set(['id', 'type', 'function', 'index'])
const CALLED_FIELDS = new Set(['name', 'arguments', 'parsed_arguments'])

function readToolCall(call: Fields, path: string): ToolCall {
  refuseUnknown(call, CALL_FIELDS, path)
  if ((optional(call, 'type', text(32), path) ?? 'function') !== 'function')
    throw unsupported(`${path}type`, 'function')
  const called = required(call, 'function', object, path)
  refuseUnknown(called, CALLED_FIELDS, `${path}function.`)
  const name = shortText(LIMITS.toolNameBytesMax)
  return {
    id: required(call, 'id', name, path),
    name: required(called, 'name', name, `${path}function.`),
    arguments: readArguments(called['arguments'], `${path}function.arguments`),
  }
}

/** As the model wrote them, which may be no JSON. */
function readArguments(value: unknown, param: string): string {
  if (typeof value !== 'string' || !value.isWellFormed()) throw badRequest(param, 'JSON text')
  if (Buffer.byteLength(value) > LIMITS.toolsBytesMax) throw badRequest(param, `at most ${LIMITS.toolsBytesMax} bytes`)
  return value
}

/** A string, or text parts that are joined as they stand. */
function readContent(content: unknown, param: string): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) throw badRequest(param, 'a string or an array of text parts')
  const parts: readonly unknown[] = content
  return parts.map((part, index) => readPart(object(part, `${param}[${index}]`), `${param}[${index}].`)).join('')
}

function readPart(part: Fields, path: string): string {
  const type = required(part, 'type', text(64), path)
  if (type !== 'text') throw unsupported(`${path}type`, 'text')
  refuseUnknown(part, new Set(['type', 'text']), path)
  const content = part['text']
  if (typeof content !== 'string') throw badRequest(`${path}text`, 'a string')
  return content
}
