/** A `tokenizer.json` of the WordPiece kind, small enough to know by heart. */
import { BERT } from './onnx-file.ts'

const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
const WORDS = ['a', 'red', 'kite', 'sail', '##s', '##ing', 'bird', 'the', 'sing', '.', ',', 'cafe', '日', '!']
const FILLERS = Array.from({ length: BERT.vocabulary - SPECIAL.length - WORDS.length }, (_, index) => `filler${index}`)

export const PIECES: readonly string[] = [...SPECIAL, ...WORDS, ...FILLERS]

export function idOf(piece: string): number {
  return PIECES.indexOf(piece)
}

export function wordPieceFile(part: Record<string, unknown> = {}): string {
  return JSON.stringify({
    version: '1.0',
    truncation: { direction: 'Right', max_length: BERT.places, strategy: 'LongestFirst', stride: 0 },
    padding: { strategy: 'BatchLongest', direction: 'Right', pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' },
    added_tokens: SPECIAL.map((content, id) => ({
      ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    })),
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: '[CLS]', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '[SEP]', type_id: 0 } },
      ],
      pair: [],
      special_tokens: {
        '[CLS]': { id: '[CLS]', ids: [idOf('[CLS]')], tokens: ['[CLS]'] },
        '[SEP]': { id: '[SEP]', ids: [idOf('[SEP]')], tokens: ['[SEP]'] },
      },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      ...{ type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100 },
      vocab: Object.fromEntries(PIECES.map((piece, id) => [piece, id])),
    },
    ...part,
  })
}
