/** The words of a job in three forms: as a caller wishes them, as a payload carries them, as a backend renders them. */
import { idsFromBytes, idsToBytes, utf8 } from '../../core/codec/bytes.ts'
import { isTextWithin } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { type Message, type Payload, PLAIN } from '../../core/log/intent.ts'
import type { ChatMessage, RenderOptions, ToolSpec } from '../../models/backend.ts'
import type { JobInput } from '../runtime/app.ts'
import { parseTools } from './tools.ts'

/** What a prompt is made of: the messages of a chat and what it may call, the text or ids of a completion, the texts to embed. */
export type Words = Pick<Payload, 'messages' | 'tools' | 'thinking' | 'texts' | 'promptIds'>

/** More than MessagePack adds to a text, or salt and seed nonce to all of them. */
const TEXT_OVERHEAD_BYTES = 128
const ID_BYTES = 4
const NO_WORDS: Words = {
  messages: [],
  texts: [],
  tools: PLAIN.tools,
  thinking: PLAIN.thinking,
  promptIds: PLAIN.promptIds,
}

/** @throws FabricError CF_JOB_INVALID for words that no payload can carry */
export function wordsIn(input: JobInput): Words {
  switch (input.task) {
    case 'chat':
      return chatWords(input)
    case 'completion':
      return typeof input.prompt === 'string'
        ? { ...NO_WORDS, texts: within([input.prompt], 1, 'prompt') }
        : { ...NO_WORDS, promptIds: packed(input.prompt) }
    case 'embedding':
      return { ...NO_WORDS, texts: within(input.texts, LIMITS.embeddingTextCountMax, 'input') }
  }
}

function chatWords(input: Extract<JobInput, { task: 'chat' }>): Words {
  const messages = input.messages.map(carried)
  const tools = input.tools === undefined || input.tools.length === 0 ? '' : JSON.stringify(input.tools)
  if (parseTools(tools) === undefined) throw new FabricError('CF_JOB_INVALID', { field: 'tools' })
  const called = messages.flatMap(({ toolCalls, toolCallId }) => [
    toolCallId,
    ...toolCalls.flatMap(({ id, name, arguments: given }) => [id, name, given]),
  ])
  within([...messages.map(({ content }) => content), ...called, tools], Number.POSITIVE_INFINITY, 'messages')
  if (messages.length < 1 || messages.length > LIMITS.messageCountMax || !messages.every(isCarriable))
    throw new FabricError('CF_JOB_INVALID', { field: 'messages' })
  return { ...NO_WORDS, messages, tools, thinking: thinkingCode(input.thinking) }
}

function thinkingCode(thinking: boolean | undefined): Words['thinking'] {
  if (thinking === undefined) return 'default'
  return thinking ? 'on' : 'off'
}

function carried({ role, content, toolCalls = [], toolCallId = '' }: ChatMessage): Message {
  return { role, content, toolCalls, toolCallId }
}

function isCarriable({ toolCalls, toolCallId }: Message): boolean {
  const isName = (name: string): boolean => isTextWithin(name, LIMITS.toolNameBytesMax)
  const isCall = ({ id, name, arguments: given }: Message['toolCalls'][number]): boolean =>
    isName(id) && isName(name) && isTextWithin(given, LIMITS.toolsBytesMax)
  return isName(toolCallId) && toolCalls.length <= LIMITS.toolCallCountMax && toolCalls.every(isCall)
}

/** Bounds of the payload's codec, asked of what came from outside. */
function within(texts: readonly string[], countMax: number, field: string): readonly string[] {
  const bytes = texts.reduce((sum, text) => sum + utf8(text).length + TEXT_OVERHEAD_BYTES, TEXT_OVERHEAD_BYTES)
  const sound = texts.every((text) => isTextWithin(text, LIMITS.messageBytesMax))
  if (texts.length < 1 || texts.length > countMax || !sound || bytes > LIMITS.payloadBytesMax)
    throw new FabricError('CF_JOB_INVALID', { field })
  return texts
}

function packed(ids: readonly number[]): Uint8Array {
  if (ids.length < 1 || ids.length * ID_BYTES > LIMITS.promptIdsBytesMax)
    throw new FabricError('CF_JOB_INVALID', { field: 'prompt' })
  return idsToBytes(ids)
}

/** @throws FabricError CF_JOB_INVALID when one is none of the model's */
export function idsIn({ promptIds }: Words, vocabSize: number): Uint32Array {
  const ids = idsFromBytes(promptIds)
  if (ids?.every((id) => id < vocabSize) !== true) throw new FabricError('CF_JOB_INVALID', { field: 'prompt' })
  return ids
}

/** What a template has no use for is left out: it may ask whether it is there. */
export function renderedMessages({ messages }: Words): readonly ChatMessage[] {
  return messages.map(({ role, content, toolCalls, toolCallId }) => ({
    ...{ role, content },
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
    ...(toolCallId === '' ? {} : { toolCallId }),
  }))
}

/** @throws FabricError CF_JOB_INVALID when the tools are none */
export function renderOptions({ tools, thinking }: Words): RenderOptions {
  const parsed: readonly ToolSpec[] | undefined = parseTools(tools)
  if (parsed === undefined) throw new FabricError('CF_JOB_INVALID', { field: 'tools' })
  return {
    ...(parsed.length === 0 ? {} : { tools: parsed }),
    ...(thinking === 'default' ? {} : { thinking: thinking === 'on' }),
  }
}
