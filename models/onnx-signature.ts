/**
 * What an ONNX encoder takes and gives: one vector for each text, or one for each token, which are then pooled and brought to length 1.
 *
 * @see Reimers and Gurevych 2019, "Sentence-BERT", section 3, for pooling
 */
import { type InferenceSession, Tensor } from 'onnxruntime-node'

/** How the vectors of a text's tokens become one: their mean, or the first one's alone. */
export type Pooling = 'mean' | 'cls'

/** Ids are `rows * columns`, row by row; `lengths` says how many of each row are text. */
export type OnnxBatch = {
  readonly ids: BigInt64Array
  readonly lengths: Uint32Array
  readonly rows: number
  readonly columns: number
}

export type Signature = {
  /** Named inputs, each int64[B, T]. */
  readonly inputs: readonly string[]
  /** float32[B, D] of whole texts, or float32[B, T, D] of tokens. */
  readonly output: string
  readonly of: 'texts' | 'tokens'
  /** Vectors come with length 1. */
  readonly isUnit: boolean
  /** D. */
  readonly dimensions: number
}

/** Universal Sentence Encoder: one input without a mask, 0 for padding. */
const SINGLE_INPUT = 'ids'
const SINGLE_OUTPUT = 'embedding'
const IDS = 'input_ids'
const MASK = 'attention_mask'
const TYPES = 'token_type_ids'
/** Best first: exports for sentence encoders often have several outputs. */
const OUTPUTS = ['sentence_embedding', 'last_hidden_state', 'token_embeddings']

type Metadata = InferenceSession['inputMetadata'][number]

/** @returns undefined when the model is no such encoder */
export function signatureOf({ inputMetadata, outputMetadata }: InferenceSession): Signature | undefined {
  const inputs = inputMetadata.map(({ name }) => name)
  const isSingle = inputs.length === 1 && inputs[0] === SINGLE_INPUT
  const isKnown = [IDS, MASK].every((name) => inputs.includes(name)) && inputs.every((name) => KNOWN.has(name))
  if (!(isSingle || isKnown) || !inputMetadata.every(isIdMatrix)) return undefined
  const names = isSingle ? [SINGLE_OUTPUT] : OUTPUTS
  const output = names.flatMap((name) => outputMetadata.find((found) => found.name === name) ?? [])[0]
  if (output?.isTensor !== true || output.type !== 'float32') return undefined
  const dimensions = output.shape.at(-1)
  const rank = output.shape.length
  if (typeof dimensions !== 'number' || dimensions <= 0 || rank < 2 || rank > 3 || (isSingle && rank === 3))
    return undefined
  return { inputs, output: output.name, of: rank === 3 ? 'tokens' : 'texts', isUnit: isSingle, dimensions }
}

const KNOWN = new Set([IDS, MASK, TYPES])

function isIdMatrix(input: Metadata): boolean {
  return input.isTensor && input.type === 'int64' && input.shape.length === 2
}

export function feedsOf({ inputs }: Signature, { ids, lengths, rows, columns }: OnnxBatch): Record<string, Tensor> {
  const tensor = (data: BigInt64Array): Tensor => new Tensor('int64', data, [rows, columns])
  const mask = (): BigInt64Array => {
    const ones = new BigInt64Array(rows * columns)
    for (const [row, length] of lengths.entries()) ones.fill(1n, row * columns, row * columns + length)
    return ones
  }
  const contents: Readonly<Record<string, () => BigInt64Array>> = {
    [MASK]: mask,
    [TYPES]: () => new BigInt64Array(rows * columns),
  }
  return Object.fromEntries(inputs.map((name) => [name, tensor(contents[name]?.() ?? ids)]))
}

/** @returns `rows * dimensions`, each vector of length 1 */
export function pooled(
  { of, isUnit, dimensions }: Signature,
  { lengths, rows, columns }: OnnxBatch,
  pooling: Pooling,
  values: Float32Array,
): Float32Array {
  if (isUnit) return values
  const vectors = new Float32Array(rows * dimensions)
  for (const [row, length] of lengths.entries()) {
    const width = of === 'texts' ? 1 : columns
    const first = row * width * dimensions
    const count = of === 'texts' || pooling === 'cls' ? 1 : length
    vectors.set(unitSum(values.subarray(first, first + count * dimensions), dimensions), row * dimensions)
  }
  return vectors
}

/** The direction of a sum is that of the mean. Sums are of doubles, so that padding and batch change nothing. */
function unitSum(values: Float32Array, dimensions: number): Float64Array {
  const sum = new Float64Array(dimensions)
  for (const [place, value] of values.entries()) sum[place % dimensions] = (sum[place % dimensions] ?? 0) + value
  const norm = Math.hypot(...sum)
  return norm === 0 ? sum : sum.map((value) => value / norm)
}
