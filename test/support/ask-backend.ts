/** How tests ask a Backend. */
import type { Backend, ChatMessage, GenerateRequest, TokenBatch } from '../../models/backend.ts'

export const NEVER = new AbortController().signal
export const GREEDY = { kind: 'gumbel-v1', temperatureMilli: 0, topK: 40 } as const
export const WARM = { kind: 'gumbel-v1', temperatureMilli: 900, topK: 40 } as const
/** All of its parameters off. */
export const LLAMA = {
  kind: 'llama',
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  frequencyPenalty: 0,
  presencePenalty: 0,
  seed: 1,
} as const
export const STORY: readonly ChatMessage[] = [{ role: 'user', content: 'Tell me a short story about a fox.' }]
export const TOKENS = 40

export type Answer = {
  readonly ids: number[]
  readonly text: string
  readonly batches: TokenBatch[]
  readonly finish: string
}

export async function answerOf(batches: AsyncIterable<TokenBatch>): Promise<Answer> {
  const all: TokenBatch[] = []
  for await (const batch of batches) all.push(batch)
  return {
    ids: all.flatMap(({ ids }) => [...ids]),
    text: all.map(({ text }) => text).join(''),
    batches: all,
    finish: all.at(-1)?.finish ?? 'none',
  }
}

export async function promptOf(backend: Backend, messages: readonly ChatMessage[] = STORY): Promise<Uint32Array> {
  return backend.tokenize(await backend.render(messages), true)
}

export function requestOf(promptIds: Uint32Array, seed = 1, maxTokens = TOKENS): GenerateRequest {
  return { promptIds, sampling: WARM, seed: new Uint8Array(32).fill(seed), maxTokens, stop: [] }
}
