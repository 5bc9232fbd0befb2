/** Tools for models whose template has no way to name them, or one that cannot be read back: told in words, called in JSON. */
import type { TemplateCall, TemplateMessage, TemplateTool } from './messages.ts'

/**
 * The same conversation without tools, calls and answers: the system's message names the tools, the assistant's words are the calls,
 * and the user tells what came back.
 */
export function withToldTools(
  messages: readonly TemplateMessage[],
  tools: readonly TemplateTool[],
): readonly TemplateMessage[] {
  const told = messages.reduce<readonly TemplateMessage[]>((before, message) => toldAfter(before, message), [])
  return tools.length === 0 ? told : withSystem(told, instructionOf(tools))
}

/** Answers that follow each other are one message: many templates want user and assistant to take turns. */
function toldAfter(before: readonly TemplateMessage[], message: TemplateMessage): readonly TemplateMessage[] {
  const { role, content, tool_calls: calls = [], name = '' } = message
  if (role === 'assistant') {
    const said = [content, ...calls.map(textOfCall)].filter((text) => text !== '')
    return [...before, { role, content: said.join('\n') }]
  }
  if (role !== 'tool') return [...before, { role, content }]
  const answer = `Result of ${name}:\n${content}`
  const last = before.at(-1)
  if (last?.role !== 'user' || !isAnswer(last)) return [...before, { role: 'user', content: answer }]
  return [...before.slice(0, -1), { ...last, content: `${last.content}\n\n${answer}` }]
}

function isAnswer({ content }: TemplateMessage): boolean {
  return content.startsWith('Result of ')
}

export function textOfCall({ function: { name, arguments: given } }: TemplateCall): string {
  return JSON.stringify({ name, arguments: given })
}

function instructionOf(tools: readonly TemplateTool[]): string {
  const described = tools.map((tool) => JSON.stringify(tool.function))
  return [
    'You can call functions. To call one, answer with nothing but a JSON object of this form:',
    '{"name": <name of the function>, "arguments": <object with its arguments>}',
    'These are the functions:',
    ...described,
  ].join('\n')
}

function withSystem(messages: readonly TemplateMessage[], instruction: string): readonly TemplateMessage[] {
  const [first, ...others] = messages
  if (first?.role !== 'system') return [{ role: 'system', content: instruction }, ...messages]
  return [{ ...first, content: `${first.content}\n\n${instruction}` }, ...others]
}
