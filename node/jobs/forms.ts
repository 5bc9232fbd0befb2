/** The form that a job's answer is held to, as GBNF. */
import { FabricError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { LoadedModel } from '../../models/backend.ts'
import { toolGrammar } from '../../models/tools/grammar.ts'
import type { JobRequest } from '../runtime/app.ts'

/**
 * A form that the caller gives, or the one of a call that must be made; '' for none.
 *
 * Why a model without a template may still be made to call a tool: the grammar needs nobody who knows what a tool is.
 *
 * @throws FabricError CF_MODEL_UNSUPPORTED for tools that the model cannot know of, CF_JOB_INVALID for a form that nothing can be held to
 */
export function formOf(
  { input, grammar = '', model }: JobRequest,
  { toolFormat }: Pick<LoadedModel, 'toolFormat'>,
): string {
  if (Buffer.byteLength(grammar) > LIMITS.grammarBytesMax) throw new FabricError('CF_JOB_INVALID', { field: 'grammar' })
  const { tools = [], toolChoice = 'auto', parallelToolCalls = true } = input.task === 'chat' ? input : {}
  if (tools.length === 0) return grammar
  if (toolChoice !== 'auto') {
    const form = toolGrammar(toolFormat, tools, toolChoice, parallelToolCalls)
    if ('fault' in form) throw new FabricError('CF_JOB_INVALID', { param: 'tools', expected: form.fault })
    return form.gbnf
  }
  if (toolFormat !== 'none') return grammar
  throw new FabricError('CF_MODEL_UNSUPPORTED', { param: 'tools', model, offered: 'tool_choice required' })
}
