/** A conversation in the form that chat templates read, which is that of the Hugging Face libraries. */
import { createHash } from 'node:crypto'
import { FabricError } from '../../core/errors.ts'
import type { ChatMessage, ToolCall, ToolSpec } from '../backend.ts'
import { type Disarm, disarmed } from './disarm.ts'

export type TemplateCall = {
  readonly id: string
  readonly type: 'function'
  readonly function: { readonly name: string; readonly arguments: unknown }
}
export type TemplateMessage = {
  readonly role: string
  readonly content: string
  /** Absent, not empty: templates ask whether it is there. */
  readonly tool_calls?: readonly TemplateCall[]
  readonly tool_call_id?: string
  /** Of a tool's answer: which tool. */
  readonly name?: string
  /** JSON text, where a template wants the tools there. */
  readonly tools?: string
}
export type TemplateTool = {
  readonly type: 'function'
  readonly function: { readonly name: string; readonly description: string; readonly parameters: unknown }
}

/** Letters and digits of a call's id in the templates that count them. */
const ID_CHARS = 9

/** @throws FabricError CF_JOB_INVALID when a call's arguments are no JSON object */
export function templateMessages(
  messages: readonly ChatMessage[],
  disarm: Disarm,
  hasShortIds: boolean,
): readonly TemplateMessage[] {
  const names = new Map(messages.flatMap(({ toolCalls = [] }) => toolCalls.map(({ id, name }) => [id, name] as const)))
  const idOf = (id: string): string => (hasShortIds ? shortId(id) : disarm(id))
  return messages.map(({ role, content, toolCalls = [], toolCallId }) => ({
    role,
    content: disarm(content),
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map((call) => templateCall(call, disarm, idOf)) }),
    ...(toolCallId === undefined ? {} : { tool_call_id: idOf(toolCallId), name: disarm(names.get(toolCallId) ?? '') }),
  }))
}

export function templateTools(tools: readonly ToolSpec[], disarm: Disarm): readonly TemplateTool[] {
  return tools.map(({ name, description, parameters }) => ({
    type: 'function',
    function: {
      name: disarm(name),
      description: disarm(description),
      parameters: disarmed(parameters, disarm, 'tools'),
    },
  }))
}

function templateCall(call: ToolCall, disarm: Disarm, idOf: (id: string) => string): TemplateCall {
  const given = parsedArguments(call.arguments)
  return {
    id: idOf(call.id),
    type: 'function',
    function: { name: disarm(call.name), arguments: disarmed(given, disarm, 'messages') },
  }
}

function parsedArguments(text: string): object {
  const value = parsedJson(text.trim() === '' ? '{}' : text)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new FabricError('CF_JOB_INVALID', { field: 'messages', reason: 'arguments_not_json' })
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The id itself where it has the length, else one that is as good as unique. */
function shortId(id: string): string {
  if (/^[a-zA-Z0-9]{9}$/.test(id)) return id
  return createHash('sha256').update(id).digest('hex').slice(0, ID_CHARS)
}

/** Puts what the system says before the first user's words, for templates that know no system. */
export function withoutSystem(messages: readonly TemplateMessage[]): readonly TemplateMessage[] {
  const first = messages.findIndex(({ role }) => role !== 'system')
  const system = first < 0 ? messages : messages.slice(0, first)
  if (system.length === 0) return messages
  const [next, ...others] = messages.slice(system.length)
  const told = system.map(({ content }) => content)
  if (next?.role !== 'user')
    return [{ role: 'user', content: told.join('\n\n') }, ...(next === undefined ? [] : [next]), ...others]
  return [{ ...next, content: [...told, next.content].join('\n\n') }, ...others]
}

/** For templates that read the text of a message out of its parts. */
export function inParts(messages: readonly TemplateMessage[]): readonly object[] {
  return messages.map(({ content, ...message }) => ({ ...message, content: [{ type: 'text', text: content }] }))
}
