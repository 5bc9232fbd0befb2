/** `tools`, `tool_choice` and `parallel_tool_calls` of a chat. */
import { LIMITS } from '../../core/limits.ts'
import type { ToolSpec } from '../../models/backend.ts'
import type { ChatInput, ToolChoice } from '../runtime/app.ts'
import { type Fields, flag, list, object, oneOf, optional, parsed, refuseUnknown, required } from './fields.ts'
import { badRequest, unsupported } from './problem.ts'

export const TOOL_FIELDS = ['tools', 'tool_choice', 'parallel_tool_calls'] as const
export type ToolWish = Pick<ChatInput, 'tools' | 'toolChoice' | 'parallelToolCalls'>

const TOOL_MEMBERS = new Set(['type', 'function'])
/** `strict` asks for arguments that fit the schema: a choice that is forced has no others, and text that is free promises nothing. */
const FUNCTION_MEMBERS = new Set(['name', 'description', 'parameters', 'strict'])
const NAME = /^[a-zA-Z0-9_-]{1,64}$/
const NO_PARAMETERS = { type: 'object', properties: {} }
const DESCRIPTION_CHARS_MAX = 16_384

/** Neutral values are left out. @returns no tools when the model is to call none of them */
export function readTools(fields: Fields): ToolWish {
  const tools = optional(fields, 'tools', readList) ?? []
  const choice = readChoice(fields, tools)
  const parallelToolCalls = optional(fields, 'parallel_tool_calls', flag) ?? true
  if (tools.length === 0 || choice === 'none') return {}
  return {
    tools,
    ...(choice === 'auto' ? {} : { toolChoice: choice }),
    ...(parallelToolCalls ? {} : { parallelToolCalls }),
  }
}

function readList(value: unknown, param: string): readonly ToolSpec[] {
  const items = list(value, param)
  if (items.length > LIMITS.toolCountMax) throw badRequest(param, `at most ${LIMITS.toolCountMax} tools`)
  // The list and each tool are two levels more.
  if (!isWithinDepth(items, LIMITS.toolsDepthMax)) throw badRequest(param, `at most ${LIMITS.toolsDepthMax} levels`)
  const tools = items.map((item, index) => readTool(object(item, `${param}[${index}]`), `${param}[${index}].`))
  if (Buffer.byteLength(JSON.stringify(tools)) > LIMITS.toolsBytesMax)
    throw badRequest(param, `at most ${LIMITS.toolsBytesMax} bytes of JSON`)
  const repeated = tools.findIndex(({ name }, index) => tools.findIndex((other) => other.name === name) < index)
  if (repeated >= 0) throw badRequest(`${param}[${repeated}].function.name`, 'a name of its own')
  return tools
}

function readTool(tool: Fields, path: string): ToolSpec {
  const type = required(tool, 'type', parsed(textOf, 'a string'), path)
  if (type !== 'function') throw unsupported(`${path}type`, 'function')
  refuseUnknown(tool, TOOL_MEMBERS, path)
  const within = `${path}function.`
  const called = required(tool, 'function', object, path)
  refuseUnknown(called, FUNCTION_MEMBERS, within)
  optional(called, 'strict', flag, within)
  return {
    name: required(called, 'name', parsed(nameOf, 'a name of 1 to 64 letters, digits, _ and -'), within),
    description:
      optional(called, 'description', parsed(descriptionOf, `at most ${DESCRIPTION_CHARS_MAX} characters`), within) ??
      '',
    parameters: optional(called, 'parameters', object, within) ?? NO_PARAMETERS,
  }
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const nameOf = (value: unknown): string | undefined =>
  typeof value === 'string' && NAME.test(value) ? value : undefined

function descriptionOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.isWellFormed() && value.length <= DESCRIPTION_CHARS_MAX ? value : undefined
}

/** @returns whether arrays and objects lie within each other at most so deep; a value that is deeper is not walked to its end */
export function isWithinDepth(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every((part: unknown) => isWithinDepth(part, levels - 1))
}

function readChoice(fields: Fields, tools: readonly ToolSpec[]): ToolChoice | 'none' {
  const value = fields['tool_choice']
  if (value === undefined || value === null) return 'auto'
  const choice = typeof value === 'object' ? readNamed(object(value, 'tool_choice')) : readWord(value)
  if (choice === 'none' || choice === 'auto') return choice
  if (tools.length === 0) throw badRequest('tool_choice', 'to be absent without tools')
  if (typeof choice === 'object' && !tools.some(({ name }) => name === choice.name))
    throw badRequest('tool_choice.function.name', 'the name of one of the tools')
  return choice
}

function readWord(value: unknown): 'none' | 'auto' | 'required' {
  return oneOf('none', 'auto', 'required')(value, 'tool_choice')
}

function readNamed(choice: Fields): ToolChoice {
  const type = required(choice, 'type', parsed(textOf, 'a string'), 'tool_choice.')
  if (type !== 'function') throw unsupported('tool_choice.type', 'function')
  refuseUnknown(choice, TOOL_MEMBERS, 'tool_choice.')
  const called = required(choice, 'function', object, 'tool_choice.')
  refuseUnknown(called, new Set(['name']), 'tool_choice.function.')
  return { name: required(called, 'name', parsed(nameOf, 'the name of one of the tools'), 'tool_choice.function.') }
}
