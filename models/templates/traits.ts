/**
 * What a template can do, found out by rendering small conversations with it.
 *
 * Why not by searching its text: templates branch, quote and rename; what they render is what the model will read.
 */
import type { ThinkFormat, ToolFormat } from '../backend.ts'
import { invalidTemplate, TemplateTooCostly } from './jinja.ts'
import { inParts, type TemplateMessage, type TemplateTool } from './messages.ts'

export type Traits = {
  /** It refuses a system's message, or drops it. */
  readonly lacksSystem: boolean
  /** It reads a message's text out of parts alone. */
  readonly wantsParts: boolean
  /** It cannot do without a list of tools, be it an empty one. */
  readonly wantsTools: boolean
  /** It reads the tools out of the system's message, as JSON text. */
  readonly toolsInSystem: boolean
  readonly toolFormat: ToolFormat
  readonly thinkFormat?: ThinkFormat
}
export type ApplyOptions = { readonly tools?: readonly TemplateTool[]; readonly thinking?: boolean | undefined }
/** @throws what the template throws */
export type Apply = (messages: readonly object[], options?: ApplyOptions) => string

const SYSTEM = { role: 'system', content: 'cfabsystem' } as const
const USER = { role: 'user', content: 'cfabuser' } as const
const ANSWER = { role: 'tool', content: 'cfabanswer', tool_call_id: 'cfabcall1', name: 'cfabtool' } as const
const TOOL: TemplateTool = {
  type: 'function',
  function: {
    name: 'cfabtool',
    description: 'cfab',
    parameters: { type: 'object', properties: { cfabkey: { type: 'string', description: 'cfab' } }, required: [] },
  },
}
const CALL: TemplateMessage = {
  role: 'assistant',
  content: '',
  tool_calls: [{ id: 'cfabcall1', type: 'function', function: { name: 'cfabtool', arguments: { cfabkey: 'v' } } }],
}
const CALL_FORMS: readonly (readonly [ToolFormat, RegExp])[] = [
  ['hermes', /<tool_call>\s*\{(?="name": ?"cfabtool"|"arguments").{0,40}"cfabkey": ?"v".{0,40}\}\s*<\/tool_call>/],
  ['mistral', /\[TOOL_CALLS\] ?\[\{"name": ?"cfabtool", ?"arguments": ?\{"cfabkey"/],
  ['mistral11', /\[TOOL_CALLS\]cfabtool(?:\[CALL_ID\]\w+)?\[ARGS\]\{"cfabkey"/],
  ['llama3', /(?:>|\n)\{"name": ?"cfabtool", ?"parameters": ?\{"cfabkey"/],
  ['phi', /<\|tool_call\|>\s*\[\{"name": ?"cfabtool", ?"arguments": ?\{"cfabkey"/],
  ['gemma', /<\|tool_call>call:cfabtool\{cfabkey:<\|"\|>v<\|"\|>\}<tool_call\|>/],
]
const THOUGHTS: readonly (readonly [open: string, close: string])[] = [
  ['<think>', '</think>'],
  ['[THINK]', '[/THINK]'],
  ['<seed:think>', '</seed:think>'],
]

/**
 * @param template  the file's own text; undefined where it has none
 * @throws          FabricError CF_MODEL_LOAD_FAILED `template_invalid` where so small a conversation costs too much
 */
export function traitsOf(plain: Apply, template: string | undefined): Traits {
  const wantsTools = attempt(() => plain([USER])) === '' && attempt(() => plain([USER], { tools: [] })) !== ''
  const apply: Apply = wantsTools ? (messages, options) => plain(messages, { tools: [], ...options }) : plain
  const shows = (messages: readonly object[], ...wanted: readonly string[]): boolean => {
    const text = attempt(() => apply(messages))
    return wanted.every((part) => text.includes(part))
  }
  const wantsParts = !shows([USER], USER.content) && shows(inParts([USER]), USER.content)
  const shaped = (messages: readonly TemplateMessage[]): readonly object[] =>
    wantsParts ? inParts(messages) : messages
  const speaks = shows(shaped([USER]), USER.content)
  const toolsInSystem = shows(shaped([{ ...SYSTEM, tools: 'cfabtools' }, USER]), '<|tool|>cfabtools<|/tool|>')
  const thinkFormat = thinkFormatOf(template ?? '', (thinking) => attempt(() => apply(shaped([USER]), { thinking })))
  return {
    lacksSystem: speaks && !shows(shaped([SYSTEM, USER]), SYSTEM.content, USER.content),
    wantsParts,
    wantsTools,
    toolsInSystem,
    toolFormat: toolsInSystem ? 'phi' : template === undefined || !speaks ? 'none' : toolFormatOf(apply, shaped),
    ...(thinkFormat === undefined ? {} : { thinkFormat }),
  }
}

function toolFormatOf(apply: Apply, shaped: (messages: readonly TemplateMessage[]) => readonly object[]): ToolFormat {
  const options = { tools: [TOOL] }
  const offered = attempt(() => apply(shaped([USER]), options))
  const called = attempt(() => apply(shaped([USER, CALL, ANSWER]), options))
  if (!offered.includes(TOOL.function.name) || !called.includes(ANSWER.content)) return 'json'
  return CALL_FORMS.find(([, form]) => form.test(called))?.[0] ?? 'json'
}

function thinkFormatOf(template: string, rendered: (thinking: boolean | undefined) => string): ThinkFormat | undefined {
  const found = THOUGHTS.find(([open, close]) => template.includes(open) || template.includes(close))
  if (found === undefined) return undefined
  const [open, close] = found
  const isOpen = (thinking: boolean | undefined): boolean => rendered(thinking).trimEnd().endsWith(open)
  return { open, close, startsOpen: { default: isOpen(undefined), on: isOpen(true), off: isOpen(false) } }
}

/** @returns '' where the template refuses */
function attempt(render: () => string): string {
  try {
    return render()
  } catch (error) {
    if (error instanceof TemplateTooCostly) throw invalidTemplate(error)
    return ''
  }
}
