/**
 * The tokenizers of BERT-type models, as their `tokenizer.json` describes them.
 *
 * @see https://huggingface.co/docs/tokenizers
 */
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers'
import type { Tokenizer } from './tokenizer.ts'

/** The parts that this program reads itself; the library reads the rest. */
type File = {
  readonly model: { readonly type: string }
  readonly padding?: unknown
  readonly truncation?: unknown
}

const VOCABULARY_COUNT_MAX = 1_000_000
/** The library guesses at others. */
const KINDS: ReadonlySet<unknown> = new Set(['WordPiece', 'Unigram', 'BPE', 'WordLevel'])
/** What most BERT-type models name the token that pads. */
const PAD = '[PAD]'

/** @returns undefined for anything that is not such a file, or that the library cannot follow */
export function parseHubTokenizer(value: unknown): Tokenizer | undefined {
  const file = parseFile(value)
  const library = file === undefined ? undefined : openLibrary(file)
  if (file === undefined || library === undefined) return undefined
  const ids = [...library.get_vocab(true).values()]
  const vocabSize = ids.reduce((most, id) => Math.max(most, id), -1) + 1
  if (vocabSize === 0 || vocabSize > VOCABULARY_COUNT_MAX) return undefined
  const padId = numberIn(file.padding, 'pad_id') ?? library.token_to_id(PAD) ?? 0
  const contextTokens = numberIn(file.truncation, 'max_length')
  return {
    vocabSize,
    padId,
    ...(contextTokens === undefined ? {} : { contextTokens }),
    // The library answers the start and end tokens alone for a text of nothing.
    encode: (text) => (text.trim() === '' ? new Uint32Array() : Uint32Array.from(library.encode(text).ids)),
  }
}

function parseFile(value: unknown): File | undefined {
  if (typeof value !== 'object' || value === null || !('model' in value)) return undefined
  const { model } = value
  const isKnown = typeof model === 'object' && model !== null && 'type' in model && KINDS.has(model.type)
  return isKnown ? (value as File) : undefined
}

/** It throws plain errors at parts that it does not know. */
function openLibrary(file: File): HubTokenizer | undefined {
  try {
    const library = new HubTokenizer(file, {})
    library.encode('a')
    return library
  } catch {
    return undefined
  }
}

function numberIn(part: unknown, name: string): number | undefined {
  const found: unknown = typeof part === 'object' && part !== null ? Reflect.get(part, name) : undefined
  return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : undefined
}
