/** Which tokenizer a vocabulary file is for: its own form says it. */
import { parseHubTokenizer } from './hub-tokenizer.ts'
import type { Tokenizer } from './tokenizer.ts'
import { createUnigram, parseVocabulary } from './unigram.ts'

/**
 * Reads an array of `[piece, score]`, or the `tokenizer.json` that model hubs keep beside a model.
 *
 * @returns undefined when it is neither, or uses a part that is not known
 */
export function parseTokenizer(text: string): Tokenizer | undefined {
  const value = parseJson(text)
  const vocabulary = parseVocabulary(value)
  return vocabulary === undefined ? parseHubTokenizer(value) : createUnigram(vocabulary)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
