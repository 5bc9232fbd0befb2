/**
 * A SentencePiece unigram tokenizer: the cut of a text into pieces with the highest sum of scores, by Viterbi over a trie.
 *
 * Text is brought to NFKC; control characters go, and white space of any kind and length counts as one space, as SentencePiece's
 * default normaliser has it. A space is `▁`, and the text starts with one. What no piece covers costs more than any piece, and a run
 * of such characters is one id, UNKNOWN_ID: the model was trained with it.
 *
 * @see Kudo 2018, "Subword Regularization"; Kudo and Richardson 2018, "SentencePiece"
 */
import type { Tokenizer } from './tokenizer.ts'

/** In order of ids; the first six are reserved and match no text. */
export type Vocabulary = readonly (readonly [piece: string, score: number])[]

/** Also what pads a batch: an unknown character is not read by the model. */
const UNKNOWN_ID = 0
const RESERVED_COUNT = 6
/** Below the worst piece, in nats. */
const UNKNOWN_PENALTY = 10
const VOCABULARY_COUNT_MAX = 1_000_000
const PIECE_CHARS_MAX = 64
const SPACE = '\u2581'
const SPACES = /[\s\u200b\u200c\u200e\u200f\u2581\ufffd]+/gu
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\u0000-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/gu

/**
 * More marks on one letter than any writing has. Each is moved past those before it, so that a text of nothing else would take hours:
 * so many at a time are put in order. The last two, half-width voice marks, become marks on the way.
 */
const MARKS = /([\p{M}\uff9e\uff9f]{64})/u

type Node = { id: number; score: number; readonly next: Map<string, Node> }

/** @returns undefined when it is no array of `[piece, score]` */
export function parseVocabulary(value: unknown): Vocabulary | undefined {
  if (!Array.isArray(value) || value.length <= RESERVED_COUNT || value.length > VOCABULARY_COUNT_MAX) return undefined
  const pieces = value.map(parsePiece)
  return pieces.every((piece) => piece !== undefined) ? pieces : undefined
}

/** The bundled vocabulary has no score for a few pieces with a colon: the tokenizer that it was published with adds nothing for them. */
function parsePiece(value: unknown): Vocabulary[number] | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined
  const [piece, score]: readonly unknown[] = value
  if (typeof piece !== 'string' || piece.length === 0 || piece.length > PIECE_CHARS_MAX) return undefined
  if (score === null) return [piece, 0]
  return typeof score === 'number' && Number.isFinite(score) ? [piece, score] : undefined
}

export function createUnigram(vocabulary: Vocabulary): Tokenizer {
  const root = trieOf(vocabulary)
  const worst = vocabulary.slice(RESERVED_COUNT).reduce((least, [, score]) => Math.min(least, score), 0)
  return {
    vocabSize: vocabulary.length,
    padId: UNKNOWN_ID,
    encode: (text) => {
      const chars = normalise(text)
      return backtrack(...bestCuts(chars, root, worst - UNKNOWN_PENALTY), chars.length)
    },
  }
}

function trieOf(vocabulary: Vocabulary): Node {
  const root: Node = { id: -1, score: 0, next: new Map() }
  for (const [id, [piece, score]] of vocabulary.entries()) {
    if (id < RESERVED_COUNT) continue
    let node = root
    for (const char of piece) {
      const next = node.next.get(char) ?? { id: -1, score: 0, next: new Map() }
      node.next.set(char, next)
      node = next
    }
    // A piece that is listed twice has its last id, as in the trie of the model's own tokenizer.
    node.id = id
    node.score = score
  }
  return root
}

function normalise(text: string): readonly string[] {
  const composed = text.split(MARKS).map((part) => part.normalize('NFKC'))
  const spaced = composed.join('').replace(CONTROLS, '').replace(SPACES, ' ').trim()
  return spaced === '' ? [] : [...`${SPACE}${spaced.replaceAll(' ', SPACE)}`]
}

/** For each place: where the best piece that ends there starts, and its id. The trie's depth bounds the inner loop. */
function bestCuts(chars: readonly string[], root: Node, unknownScore: number): [starts: Int32Array, ids: Int32Array] {
  const best = new Float64Array(chars.length + 1).fill(Number.NEGATIVE_INFINITY)
  const starts = new Int32Array(chars.length + 1)
  const ids = new Int32Array(chars.length + 1)
  const offer = (start: number, end: number, id: number, score: number): void => {
    const sum = (best[start] ?? 0) + score
    if (sum <= (best[end] ?? 0)) return
    best[end] = sum
    starts[end] = start
    ids[end] = id
  }
  best[0] = 0
  for (let start = 0; start < chars.length; start++) {
    let node: Node | undefined = root
    for (let end = start; node !== undefined && end < chars.length; end++) {
      node = node.next.get(chars[end] ?? '')
      if (node !== undefined && node.id >= 0) offer(start, end + 1, node.id, node.score)
    }
    offer(start, start + 1, UNKNOWN_ID, unknownScore)
  }
  return [starts, ids]
}

function backtrack(starts: Int32Array, ids: Int32Array, length: number): Uint32Array {
  const reversed: number[] = []
  for (let end = length; end > 0; end = starts[end] ?? 0) {
    const id = ids[end] ?? UNKNOWN_ID
    if (id !== UNKNOWN_ID || reversed.at(-1) !== UNKNOWN_ID) reversed.push(id)
  }
  return Uint32Array.from(reversed.reverse())
}
