/** From chat messages to the model's own prompt text, by the Jinja template in its file. */
import { FabricError } from '../core/errors.ts'
import type { ChatMessage, RenderOptions, ThinkFormat, ToolFormat } from './backend.ts'
import { createDisarm } from './templates/disarm.ts'
import { CHATML, digestOf, type PromptFacts } from './templates/facts.ts'
import { compileTemplate } from './templates/jinja.ts'
import {
  inParts,
  type TemplateMessage,
  type TemplateTool,
  templateMessages,
  templateTools,
  withoutSystem,
} from './templates/messages.ts'
import { withPhiTools } from './templates/phi.ts'
import { withToldTools } from './templates/told-tools.ts'
import { type Apply, type Traits, traitsOf } from './templates/traits.ts'

export { type PromptFacts, promptFactsOf, templateDigestOf } from './templates/facts.ts'

export type Prompter = {
  /** sha256 of the template text, lowercase hex. */
  readonly templateDigest: string
  readonly toolFormat: ToolFormat
  readonly thinkFormat?: ThinkFormat
  /** @throws FabricError CF_JOB_INVALID when the template refuses the messages */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string
}

/** @throws FabricError CF_MODEL_LOAD_FAILED `template_invalid` */
export function createPrompter(facts: PromptFacts): Prompter {
  const text = facts.template ?? CHATML
  const disarm = createDisarm(facts.controlTexts)
  const apply = applyOf(facts, text)
  const traits = traitsOf(apply, facts.template)
  const { toolFormat, thinkFormat } = traits
  const hasShortIds = toolFormat === 'mistral' || toolFormat === 'mistral11'
  return {
    templateDigest: digestOf(text),
    toolFormat,
    ...(thinkFormat === undefined ? {} : { thinkFormat }),
    render(messages, { tools = [], thinking } = {}) {
      const spoken = templateMessages(messages, disarm, hasShortIds)
      return refusing(() => renderTo(apply, traits, spoken, templateTools(tools, disarm), thinking))
    },
  }
}

function applyOf({ bosToken, eosToken }: PromptFacts, text: string): Apply {
  const template = compileTemplate(text)
  return (messages, { tools, thinking } = {}) =>
    template({
      ...{ messages, bos_token: bosToken, eos_token: eosToken, add_generation_prompt: true },
      ...(tools === undefined ? {} : { tools }),
      // Two names are in use for the one switch.
      ...(thinking === undefined ? {} : { enable_thinking: thinking, thinking }),
    })
}

function renderTo(
  apply: Apply,
  traits: Traits,
  messages: readonly TemplateMessage[],
  tools: readonly TemplateTool[],
  thinking: boolean | undefined,
): string {
  const { toolFormat, toolsInSystem } = traits
  const isTold = toolFormat === 'none' || toolFormat === 'json'
  const called = isTold ? withToldTools(messages, tools) : toolsInSystem ? withPhiTools(messages, tools) : messages
  const offered = isTold || toolsInSystem ? [] : tools
  const isListed = offered.length > 0 || traits.wantsTools
  const shown = (list: readonly TemplateMessage[]): string =>
    apply(traits.wantsParts ? inParts(list) : list, { ...(isListed ? { tools: offered } : {}), thinking })
  if (traits.lacksSystem) return shown(withoutSystem(called))
  const text = shown(called)
  // Some have a place for it only where the user speaks last.
  return hasSystem(text, called) ? text : shown(withoutSystem(called))
}

function hasSystem(text: string, messages: readonly TemplateMessage[]): boolean {
  return messages.every(({ role, content }) => role !== 'system' || text.includes(content.trim()))
}

/** What a template says of its reasons stays in the cause: it is the file's text, not ours. */
function refusing(render: () => string): string {
  try {
    return render()
  } catch (error) {
    if (error instanceof FabricError) throw error
    throw new FabricError('CF_JOB_INVALID', { field: 'messages', reason: 'template_refused' }, error)
  }
}
