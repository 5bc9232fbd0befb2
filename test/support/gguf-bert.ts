/** Writes a GGUF file of the BERT kind: one layer of chance numbers over the vocabulary of word-pieces.ts. */
import type { LoadRequest } from '../../models/backend.ts'
import { type Fields, GGUF_POOLING, type GgufTensor, writeGguf } from './gguf-file.ts'
import { TINY_LOAD } from './host.ts'
import { seededRandom } from './seeded-random.ts'
import { idOf, PIECES } from './word-pieces.ts'

/** `places`: the longest text, special tokens included. */
export const GGUF_BERT = { width: 32, inner: 64, heads: 2, places: 64, types: 2 } as const
const CONTROL = 3
const NORMAL = 1

export function ggufBertLoad(path: string, pooling: keyof typeof GGUF_POOLING = 'mean'): LoadRequest {
  const fields = { ...ARCHITECTURE, ...VOCABULARY, 'bert.pooling_type': GGUF_POOLING[pooling] }
  return { ...TINY_LOAD, path, digest: writeGguf(path, fields, tensors()), contextTokens: 128 }
}

const ARCHITECTURE: Fields = {
  'general.architecture': 'bert',
  'general.license': 'Apache-2.0',
  'bert.context_length': GGUF_BERT.places,
  'bert.embedding_length': GGUF_BERT.width,
  'bert.block_count': 1,
  'bert.feed_forward_length': GGUF_BERT.inner,
  'bert.attention.head_count': GGUF_BERT.heads,
  'bert.attention.layer_norm_epsilon': { float: 1e-12 },
  'bert.attention.causal': false,
}

const isSpecial = (piece: string): boolean => /^\[[A-Z]+\]$/.test(piece)

/** As converters write it: what begins a word is marked, and not what goes on with one. */
const VOCABULARY: Fields = {
  'tokenizer.ggml.model': 'bert',
  'tokenizer.ggml.tokens': PIECES.map((piece) =>
    isSpecial(piece) ? piece : piece.startsWith('##') ? piece.slice(2) : `\u2581${piece}`,
  ),
  'tokenizer.ggml.token_type': { ints: PIECES.map((piece) => (isSpecial(piece) ? CONTROL : NORMAL)) },
  'tokenizer.ggml.token_type_count': GGUF_BERT.types,
  'tokenizer.ggml.bos_token_id': idOf('[CLS]'),
  'tokenizer.ggml.cls_token_id': idOf('[CLS]'),
  'tokenizer.ggml.seperator_token_id': idOf('[SEP]'),
  'tokenizer.ggml.unknown_token_id': idOf('[UNK]'),
  'tokenizer.ggml.padding_token_id': idOf('[PAD]'),
  'tokenizer.ggml.mask_token_id': idOf('[MASK]'),
}

function tensors(): readonly GgufTensor[] {
  const { width, inner, places, types } = GGUF_BERT
  const random = seededRandom(1)
  const tensor = (name: string, ...shape: readonly number[]): GgufTensor => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.below(2_001) / 1_000 - 1)
    return { name, shape, values }
  }
  const layer = (name: string, from: number, to: number) => [
    tensor(`${name}.weight`, from, to),
    tensor(`${name}.bias`, to),
  ]
  const norm = (name: string) => [tensor(`${name}.weight`, width), tensor(`${name}.bias`, width)]
  return [
    tensor('token_embd.weight', width, PIECES.length),
    tensor('token_types.weight', width, types),
    tensor('position_embd.weight', width, places),
    ...norm('token_embd_norm'),
    ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].flatMap((name) => layer(`blk.0.${name}`, width, width)),
    ...norm('blk.0.attn_output_norm'),
    ...layer('blk.0.ffn_up', width, inner),
    ...layer('blk.0.ffn_down', inner, width),
    ...norm('blk.0.layer_output_norm'),
  ]
}
