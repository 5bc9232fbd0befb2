/** From chat messages to the model's own prompt text, by the Jinja template in its file. */
import { createHash } from 'node:crypto'
import type { ChatHistoryItem, GgufFileInfo, LlamaModel, LlamaText } from 'node-llama-cpp'
import { FabricError } from '../core/errors.ts'
import type { ChatMessage } from './backend.ts'

export type Prompter = {
  /** sha256 of the template text, lowercase hex. */
  readonly templateDigest: string
  /** @throws FabricError CF_JOB_INVALID when the template refuses the messages */
  render(messages: readonly ChatMessage[]): string
}

type Library = typeof import('node-llama-cpp')

/** What a model without a template gets. */
const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
const CONTROL_TOKEN = 3
/** Splits a control token's text that a message contains; the reader does not see it. */
const BREAK = '\u200b'

export function createPrompter(library: Library, model: LlamaModel): Prompter {
  const template = templateOf(model.fileInfo)
  const wrapper = new library.JinjaTemplateChatWrapper({
    template,
    tokenizer: model.tokenizer,
    functionCallMessageTemplate: 'noJinja',
    joinAdjacentMessagesOfTheSameType: false,
  })
  const disarm = createDisarm(model)
  return {
    templateDigest: templateDigestOf(model.fileInfo),
    render(messages) {
      const opened: ChatHistoryItem = { type: 'model', response: [] }
      try {
        const { contextText } = wrapper.generateContextState({ chatHistory: [...messages.map(historyItem), opened] })
        return textOf(contextText, model, disarm)
      } catch (error) {
        throw new FabricError('CF_JOB_INVALID', { field: 'messages', reason: 'template_refused' }, error)
      }
    },
  }
}

/** @returns lowercase hex; of a file that is not loaded the same as `Prompter.templateDigest` of the loaded model */
export function templateDigestOf(info: GgufFileInfo): string {
  return createHash('sha256').update(templateOf(info)).digest('hex')
}

function templateOf(info: GgufFileInfo): string {
  return info.metadata.tokenizer?.chat_template ?? CHATML
}

function historyItem(message: ChatMessage): ChatHistoryItem {
  if (message.role === 'assistant') return { type: 'model', response: [message.content] }
  return { type: message.role, text: message.content }
}

function textOf(text: LlamaText, model: LlamaModel, disarm: (content: string) => string): string {
  return text.values.map((value) => (typeof value === 'string' ? disarm(value) : specialText(value, model))).join('')
}

function specialText(value: Exclude<LlamaText['values'][number], string>, model: LlamaModel): string {
  if (value.toJSON().type === 'specialTokensText') return value.value
  const texts = new Map([
    ['BOS', model.tokens.bosString],
    ['EOS', model.tokens.eosString],
    ['EOT', model.tokens.eotString],
    ['NL', model.tokens.nlString],
    ['SEP', model.tokens.sepString],
  ])
  return texts.get(value.value) ?? ''
}

/**
 * Makes a function that breaks control tokens in what people wrote.
 *
 * Why: the rendered prompt is tokenised as a whole, and a message must not be able to end its turn or to open the system's.
 */
function createDisarm(model: LlamaModel): (content: string) => string {
  const vocabulary = model.fileInfo.metadata.tokenizer?.ggml
  const controls = (vocabulary?.tokens ?? []).filter(
    (text, id) => vocabulary?.token_type[id] === CONTROL_TOKEN && text.length > 1,
  )
  if (controls.length === 0) return (content) => content
  const anywhere = new RegExp(controls.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'), 'g')
  return (content) => content.replace(anywhere, (text) => text[0] + BREAK + text.slice(1))
}
