/**
 * A llama model of a given shape with weights drawn at random, as GGUF v3 in q8_0: for speed only, it writes nonsense.
 *
 * Why: the bundled models are so small that whatever surrounds the engine outweighs it, and no larger one may be shipped. The shape
 * is that of a 135M chat model; the vocabulary comes out of llama.cpp's source. No token that ends or hides a text can win, so that
 * every run is as long as it was asked to be.
 *
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { createHash } from 'node:crypto'
import { closeSync, createReadStream, existsSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { type Field, floatField, text, textField, u32, u64, type Vocabulary, vocabularyOf, wholeField } from './gguf.ts'

export type Shape = {
  readonly dimensions: number
  readonly layers: number
  readonly heads: number
  readonly keyValueHeads: number
  readonly feedForward: number
  readonly contextTokens: number
}

export const SHAPE_125M: Shape = {
  ...{ dimensions: 576, layers: 30, heads: 9, keyValueHeads: 3 },
  ...{ feedForward: 1_536, contextTokens: 2_048 },
}

/** That of cfab-tiny, whose own texts end when they please. */
export const SHAPE_TINY: Shape = {
  ...{ dimensions: 192, layers: 5, heads: 6, keyValueHeads: 2 },
  ...{ feedForward: 512, contextTokens: 1_024 },
}

type Tensor = {
  readonly name: string
  readonly sizes: readonly number[]
  readonly kind: 'f32' | 'q8_0'
  readonly bytes: number
}

const ALIGNMENT = 32
const TYPE_IDS = { f32: 0, q8_0: 8 }
/** A q8_0 block: a half-precision scale and 32 signed bytes. */
const BLOCK_WEIGHTS = 32
const BLOCK_BYTES = 34
/** 0.0004 in half precision: 127 of them make weights up to 0.05. */
const SCALE_HALF = 0x0e8e
/** Blocks that are drawn once and repeated: enough that no two rows are alike. */
const POOL_BLOCKS = 65_521
const SEED = 0x2545_f491
const PLAIN_TEXT = 1
const TEMPLATE_KEY = 'tokenizer.chat_template'
/** For a vocabulary that comes without one. */
const TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"

/** Writes the file unless it is there. @returns its sha256, lowercase hex */
export async function synthesise(path: string, vocabulary: string, shape: Shape): Promise<string> {
  if (!existsSync(path)) {
    writeModel(`${path}.part`, vocabularyOf(readFileSync(vocabulary)), shape)
    renameSync(`${path}.part`, path)
  }
  return digestOf(path)
}

async function digestOf(path: string): Promise<string> {
  const digest = createHash('sha256')
  for await (const part of createReadStream(path, { highWaterMark: 1_048_576 })) digest.update(part)
  return digest.digest('hex')
}

function shapeFields(shape: Shape, tokenCount: number): readonly Field[] {
  const FILE_TYPE_Q8_0 = 7
  return [
    textField('general.architecture', 'llama'),
    textField('general.name', 'synthetic'),
    textField('general.license', 'Apache-2.0'),
    wholeField('general.file_type', FILE_TYPE_Q8_0),
    wholeField('llama.vocab_size', tokenCount),
    wholeField('llama.context_length', shape.contextTokens),
    wholeField('llama.embedding_length', shape.dimensions),
    wholeField('llama.block_count', shape.layers),
    wholeField('llama.feed_forward_length', shape.feedForward),
    wholeField('llama.attention.head_count', shape.heads),
    wholeField('llama.attention.head_count_kv', shape.keyValueHeads),
    wholeField('llama.rope.dimension_count', shape.dimensions / shape.heads),
    floatField('llama.attention.layer_norm_rms_epsilon', 1e-5),
  ]
}

/** Without an output layer of its own: the embedding serves, as in the model of that size. */
function tensorsOf(shape: Shape, tokenCount: number): readonly Tensor[] {
  const { dimensions: wide, feedForward } = shape
  const narrow = (wide / shape.heads) * shape.keyValueHeads
  const layer = (place: number): readonly Tensor[] => [
    norm(`blk.${place}.attn_norm.weight`, wide),
    matrix(`blk.${place}.attn_q.weight`, wide, wide),
    matrix(`blk.${place}.attn_k.weight`, wide, narrow),
    matrix(`blk.${place}.attn_v.weight`, wide, narrow),
    matrix(`blk.${place}.attn_output.weight`, wide, wide),
    norm(`blk.${place}.ffn_norm.weight`, wide),
    matrix(`blk.${place}.ffn_gate.weight`, wide, feedForward),
    matrix(`blk.${place}.ffn_up.weight`, wide, feedForward),
    matrix(`blk.${place}.ffn_down.weight`, feedForward, wide),
  ]
  const layers = Array.from({ length: shape.layers }, (_, place) => layer(place)).flat()
  return [matrix('token_embd.weight', wide, tokenCount), norm('output_norm.weight', wide), ...layers]
}

function norm(name: string, size: number): Tensor {
  return { name, sizes: [size], kind: 'f32', bytes: size * 4 }
}

function matrix(name: string, rowSize: number, rows: number): Tensor {
  return { name, sizes: [rowSize, rows], kind: 'q8_0', bytes: ((rowSize * rows) / BLOCK_WEIGHTS) * BLOCK_BYTES }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

function writeModel(path: string, { fields, types }: Vocabulary, shape: Shape): void {
  const tensors = tensorsOf(shape, types.length)
  const hasTemplate = fields.some(({ key }) => key === TEMPLATE_KEY)
  const template = hasTemplate ? [] : [textField(TEMPLATE_KEY, TEMPLATE)]
  const head = headOf([...shapeFields(shape, types.length), ...fields, ...template], tensors)
  const file = openSync(path, 'w')
  try {
    writeSync(file, head)
    writeSync(file, Buffer.alloc(aligned(head.length) - head.length))
    const pool = drawBlocks()
    for (const [place, tensor] of tensors.entries()) {
      const bytes = tensor.kind === 'f32' ? ones(tensor) : blocksOf(tensor, pool, place)
      if (tensor.name === 'token_embd.weight') mute(bytes, types, shape)
      writeSync(file, bytes)
    }
  } finally {
    closeSync(file)
  }
}

function headOf(fields: readonly Field[], tensors: readonly Tensor[]): Buffer {
  const VERSION = 3
  const parts = [Buffer.from('GGUF'), u32(VERSION), u64(tensors.length), u64(fields.length)]
  for (const { bytes } of fields) parts.push(bytes)
  let offset = 0
  for (const { name, sizes, kind, bytes } of tensors) {
    parts.push(text(name), u32(sizes.length), ...sizes.map(u64), u32(TYPE_IDS[kind]), u64(offset))
    offset += aligned(bytes)
  }
  return Buffer.concat(parts)
}

function ones({ bytes }: Tensor): Buffer {
  const values = Buffer.alloc(aligned(bytes))
  for (let at = 0; at < bytes; at += 4) values.writeFloatLE(1, at)
  return values
}

/** The pool again and again, begun elsewhere for each tensor. */
function blocksOf({ bytes }: Tensor, pool: Buffer, place: number): Buffer {
  const blocks = Buffer.alloc(aligned(bytes))
  let from = ((place * 7_919) % POOL_BLOCKS) * BLOCK_BYTES
  for (let at = 0; at < bytes; ) {
    const count = pool.copy(blocks, at, from, from + Math.min(bytes - at, pool.length - from))
    at += count
    from = 0
  }
  return blocks
}

/** A row of zeros makes a logit of 0, which thousands of others surpass. */
function mute(embedding: Buffer, types: Int32Array, { dimensions }: Shape): void {
  const rowBytes = (dimensions / BLOCK_WEIGHTS) * BLOCK_BYTES
  for (const [id, type] of types.entries())
    if (type !== PLAIN_TEXT) embedding.fill(0, id * rowBytes, (id + 1) * rowBytes)
}

function drawBlocks(): Buffer {
  const pool = Buffer.alloc(POOL_BLOCKS * BLOCK_BYTES)
  let state = SEED
  for (let at = 0; at < pool.length; at += 1) {
    // xorshift32.
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    // -127..127, as the quantiser makes them.
    pool[at] = ((state >>> 8) % 255) - 127
  }
  for (let at = 0; at < pool.length; at += BLOCK_BYTES) pool.writeUInt16LE(SCALE_HALF, at)
  return pool
}
