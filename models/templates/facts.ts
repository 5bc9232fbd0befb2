/** What a model file says about its prompts. */
import { createHash } from 'node:crypto'
import type { GgufFileInfo } from 'node-llama-cpp'

export type PromptFacts = {
  /** Absent: the file has none. */
  readonly template?: string
  /** '' where the vocabulary has none. */
  readonly bosToken: string
  readonly eosToken: string
  /** Texts that the tokenizer would take for something else than words. */
  readonly controlTexts: readonly string[]
}

/** What a model without a template gets. */
export const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

const CONTROL = 3
const USER_DEFINED = 4
/** Some files call tokens that end turns the user's own. */
const LOOKS_LIKE_CONTROL = /^<\|.*\|>$|^<(?:start|end)_of_turn>$/
/** llama.cpp takes a token with one of these texts for a control token, whatever the file calls it. */
const ALWAYS_CONTROL: ReadonlySet<string> = new Set([
  ...['<|eot_id|>', '<|im_end|>', '<|end|>', '<end_of_turn>', '<|endoftext|>', '<|end_of_text|>', '<EOT>', '_<EOT>'],
  ...['[EOT]', '[EOS]', '</s>', '<eos>', '<|eom_id|>', '<|return|>', '<|call|>', '<|flush|>', '<|calls|>', '[e~['],
  ...['<end_of_utterance>', '<turn|>', '<|tool_response>', '<\uff5cend\u2581of\u2581sentence\uff5c>'],
  ...['<|start|>', '<|channel|>', '<|message|>', '<|constrain|>'],
])
/** What llama.cpp takes where a file names none. */
const DEFAULT_IDS: Readonly<Record<string, { readonly bos: number; readonly eos: number }>> = {
  llama: { bos: 1, eos: 2 },
  gpt2: { bos: 11, eos: 11 },
}

export function promptFactsOf(info: GgufFileInfo): PromptFacts {
  const template = info.metadata.tokenizer?.chat_template
  const vocabulary = info.metadata.tokenizer?.ggml
  const { tokens = [], token_type: types = [] } = vocabulary ?? {}
  const defaults = DEFAULT_IDS[vocabulary?.model ?? '']
  const textOf = (id: number | undefined): string => (id === undefined ? '' : (tokens[id] ?? ''))
  return {
    ...(typeof template === 'string' ? { template } : {}),
    bosToken: textOf(vocabulary?.bos_token_id ?? defaults?.bos),
    eosToken: textOf(vocabulary?.eos_token_id ?? defaults?.eos),
    controlTexts: tokens.filter((text, id) => isControl(text, types[id])),
  }
}

/** @returns lowercase hex; of a file that is not loaded the same as `Prompter.templateDigest` of the loaded model */
export function templateDigestOf(info: GgufFileInfo): string {
  return digestOf(info.metadata.tokenizer?.chat_template ?? CHATML)
}

export function digestOf(template: string): string {
  return createHash('sha256').update(template).digest('hex')
}

function isControl(text: string, type: number | undefined): boolean {
  if (text.length < 2) return false
  if (ALWAYS_CONTROL.has(text)) return true
  return type === CONTROL || (type === USER_DEFINED && LOOKS_LIKE_CONTROL.test(text))
}
