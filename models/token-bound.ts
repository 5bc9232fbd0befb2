/** How few tokens a text can have: what is too long for a context need not be tokenized, which takes some texts minutes. */
import type { GgufFileInfo } from 'node-llama-cpp'
import { FabricError } from '../core/errors.ts'

/** Vocabularies that keep every byte of a text; others leave out what they do not know. */
const KEEPING = ['llama', 'gpt2']

/** @throws FabricError CF_JOB_CONTEXT_EXCEEDED from what is returned, for a text that cannot fit */
export function createTokenBound(info: GgufFileInfo, contextTokens: number): (text: string) => void {
  const tokenizer = info.metadata.tokenizer?.ggml
  const isKeeping = tokenizer !== undefined && KEEPING.includes(tokenizer.model)
  // As it is written in the file a token has at least the bytes that it stands for.
  const pieceBytesMax = isKeeping ? longest(tokenizer.tokens) : Number.POSITIVE_INFINITY
  return (text) => {
    const tokens = Math.floor(Buffer.byteLength(text) / pieceBytesMax)
    if (tokens > contextTokens) throw new FabricError('CF_JOB_CONTEXT_EXCEEDED', { tokens, contextTokens })
  }
}

function longest(tokens: readonly string[]): number {
  return tokens.reduce((most, token) => Math.max(most, Buffer.byteLength(token)), 1)
}
