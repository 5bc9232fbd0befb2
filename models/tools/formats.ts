/** How calls of tools are marked in a text, by the format of the model's template. */
import type { ToolFormat } from '../backend.ts'

export type CallMarks = {
  /** What a call begins with wherever it stands; absent: it begins with its JSON, and stands first. */
  readonly open?: string
  /** Absent: it ends with its JSON. */
  readonly close?: string
  /** The name stands before the arguments: what it follows, and what is between them. */
  readonly named?: { readonly before: string; readonly after: string }
  /** Calls are the items of a list. */
  readonly isList?: boolean
  /** Member of the call's object that has what it hands over. */
  readonly given: 'arguments' | 'parameters'
  /** Whether one answer may have several. */
  readonly hasMany: boolean
  /** Between two of them. */
  readonly between: string
}

const JSON_CALL: CallMarks = { given: 'arguments', hasMany: true, between: '\n' }

export const CALL_MARKS: Record<ToolFormat, CallMarks> = {
  none: JSON_CALL,
  json: JSON_CALL,
  hermes: { ...JSON_CALL, open: '<tool_call>', close: '</tool_call>' },
  llama3: { given: 'parameters', hasMany: false, between: '' },
  mistral: { ...JSON_CALL, open: '[TOOL_CALLS]', isList: true, between: ', ' },
  mistral11: { ...JSON_CALL, open: '[TOOL_CALLS]', named: { before: '', after: '[ARGS]' }, between: '' },
  phi: { ...JSON_CALL, open: '<|tool_call|>', close: '<|/tool_call|>', isList: true, between: ', ' },
  gemma: {
    ...{ given: 'arguments', hasMany: true, between: '' },
    ...{ open: '<|tool_call>', close: '<tool_call|>', named: { before: 'call:', after: '' } },
  },
}

const PYTHON_TAG = '<|python_tag|>'

/** What may stand before a call without a mark of its own: a fence, a tag, the head of a list. */
export const BARE_CALLS = {
  start: /^\s*(?:```(?:json)?\s*|<\|python_tag\|>\s*)?(?:\[\s*)?(?=\{)/,
  /** Whether a call may still begin here. */
  mayStart(held: string): boolean {
    const said = held.trimStart()
    if (PYTHON_TAG.startsWith(said)) return true
    const behindTag = said.startsWith(PYTHON_TAG) ? said.slice(PYTHON_TAG.length) : said
    return /^(?:`{0,2}|```j?s?o?n?\s*\[?|```(?:json)?\s*\[?|\[)?\s*$/.test(behindTag)
  },
}
