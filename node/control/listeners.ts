/** Who listens to a model, by how its template has it write thoughts and calls. */
import { createToolParser, type ToolParser } from '../../models/tools/parser.ts'
import { createThoughtSplitter, type ThoughtSplitter } from '../../models/tools/thoughts.ts'
import type { ChatInput, ModelView } from '../runtime/app.ts'
import { joined, type Listener } from './speech.ts'

const NO_THOUGHTS: ThoughtSplitter = {
  push: (text) => ({ reasoning: '', text }),
  end: () => ({ reasoning: '', text: '' }),
}
const NO_CALLS: ToolParser = { push: (text) => ({ text, calls: [] }), end: () => ({ text: '', calls: [] }) }

/**
 * @param hasForm  the answer follows a form of the caller's
 * @returns        undefined when all that is said is for the user
 */
export function listenerFor(
  { toolFormat = 'json', thinkFormat }: Pick<ModelView, 'toolFormat' | 'thinkFormat'>,
  { tools = [], toolChoice, thinking }: Pick<ChatInput, 'tools' | 'toolChoice' | 'thinking'>,
  hasForm: boolean,
): (() => Listener) | undefined {
  // What follows a grammar begins with its first token: there is no room for thoughts.
  const thoughts = hasForm || toolChoice !== undefined ? undefined : thinkFormat
  if (thoughts === undefined && tools.length === 0) return undefined
  const names = tools.map(({ name }) => name)
  const wanted = thinking === undefined ? 'default' : thinking ? 'on' : 'off'
  return () =>
    listener(
      thoughts === undefined ? NO_THOUGHTS : createThoughtSplitter(thoughts, thoughts.startsOpen[wanted]),
      names.length === 0 ? NO_CALLS : createToolParser(toolFormat, names),
    )
}

/** Calls are made in words, not in thoughts. */
function listener(splitter: ThoughtSplitter, parser: ToolParser): Listener {
  return {
    push(said) {
      const { reasoning, text } = splitter.push(said)
      return { reasoning, ...parser.push(text) }
    },
    end() {
      const { reasoning, text } = splitter.end()
      return joined({ reasoning, ...parser.push(text) }, { reasoning: '', ...parser.end() })
    },
  }
}
