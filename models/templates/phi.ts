/** Tools as Phi-4-mini has them: in the system's message, and called in the assistant's words. */
import type { TemplateCall, TemplateMessage, TemplateTool } from './messages.ts'

/** What its documentation puts before the tools where nothing else is said. */
const NO_SYSTEM: TemplateMessage = { role: 'system', content: 'You are a helpful assistant with some tools.' }

export function withPhiTools(
  messages: readonly TemplateMessage[],
  tools: readonly TemplateTool[],
): readonly TemplateMessage[] {
  const called = messages.map(({ tool_calls: calls, ...message }) =>
    calls === undefined ? message : { ...message, content: message.content + textOfCalls(calls) },
  )
  if (tools.length === 0) return called
  const text = JSON.stringify(tools.map((tool) => tool.function))
  const [first, ...others] = called
  return first?.role === 'system' ? [{ ...first, tools: text }, ...others] : [{ ...NO_SYSTEM, tools: text }, ...called]
}

function textOfCalls(calls: readonly TemplateCall[]): string {
  const list = calls.map(({ function: { name, arguments: given } }) => ({ name, arguments: given }))
  return `<|tool_call|>${JSON.stringify(list)}<|/tool_call|>`
}
