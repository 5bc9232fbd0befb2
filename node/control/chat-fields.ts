/** What a chat is made of, as the OpenAI route and the p2p route read it: messages, tools, thinking, the form of the answer. */
import type { ChatInput, JobRequest } from '../runtime/app.ts'
import { type Fields, flag, object, oneOf, optional, refuseUnknown } from './fields.ts'
import { readFormat } from './format-fields.ts'
import { readMessages } from './message-fields.ts'
import { badRequest, unsupported } from './problem.ts'
import { readTools, TOOL_FIELDS } from './tool-fields.ts'

export const CHAT_FIELDS = [
  'messages',
  ...TOOL_FIELDS,
  'response_format',
  'reasoning_effort',
  'chat_template_kwargs',
] as const
export type ChatWish = { readonly input: ChatInput } & Pick<JobRequest, 'grammar'>

/**
 * Neutral values are left out: a chat that names none of them has one form.
 *
 * Why the form of the answer and tools exclude each other: a call is no answer of that form, and one that is dropped would go unseen.
 */
export function readChat(fields: Fields): ChatWish {
  const tools = readTools(fields)
  const grammar = readFormat(fields)
  if (grammar !== undefined && tools.tools !== undefined) throw unsupported('response_format', 'text beside tools')
  const isForced = grammar !== undefined || tools.toolChoice !== undefined
  const thinking = readThinking(fields)
  // The grammar begins with the answer's first token: there is no room for thoughts before it.
  if (isForced && thinking === true)
    throw unsupported('chat_template_kwargs.enable_thinking', 'false beside a forced form')
  const known = isForced ? false : thinking
  return {
    input: {
      task: 'chat',
      messages: readMessages(fields),
      ...tools,
      ...(known === undefined ? {} : { thinking: known }),
    },
    ...(grammar === undefined ? {} : { grammar }),
  }
}

const TEMPLATE_MEMBERS = new Set(['enable_thinking'])

/** As servers of open models take it: the template's own switch, or OpenAI's field with the one value that every such model knows. */
function readThinking(fields: Fields): boolean | undefined {
  const effort = optional(fields, 'reasoning_effort', readEffort)
  const given = optional(fields, 'chat_template_kwargs', object) ?? {}
  refuseUnknown(given, TEMPLATE_MEMBERS, 'chat_template_kwargs.')
  const enabled = optional(given, 'enable_thinking', flag, 'chat_template_kwargs.')
  if (effort === undefined) return enabled
  if (enabled === true) throw badRequest('reasoning_effort', 'to be absent beside enable_thinking true')
  return false
}

function readEffort(value: unknown, param: string): 'none' {
  const effort = oneOf('none', 'minimal', 'low', 'medium', 'high', 'xhigh')(value, param)
  if (effort !== 'none') throw unsupported(param, 'none')
  return effort
}
