/**
 * Writes a small BERT-shaped ONNX file: each token's vector is the sum of its word's, its place's and its type's.
 *
 * @see the ONNX intermediate representation (onnx.proto): field numbers below are its own
 */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { seededRandom } from './seeded-random.ts'

const VARINT = 0
const BYTES = 2
const FLOAT = 1
const INT64 = 7
const OPSET = 17
const IR_VERSION = 8

/** Fields of a protobuf message, ready to be joined. */
type Field = Uint8Array

export const BERT = { vocabulary: 40, places: 64, types: 2, width: 8 } as const

export type BertFile = { readonly path: string; readonly digest: string; readonly tables: BertTables }
/** Row after row of `BERT.width` numbers. */
export type BertTables = Readonly<Record<'word' | 'place' | 'type', Float32Array>>

export function writeBert(path: string, output = 'last_hidden_state'): BertFile {
  const random = seededRandom(1)
  const table = (rows: number): Float32Array =>
    Float32Array.from({ length: rows * BERT.width }, () => random.below(2_001) / 1_000 - 1)
  const tables = { word: table(BERT.vocabulary), place: table(BERT.places), type: table(BERT.types) }
  const bytes = model(tables, output)
  writeFileSync(path, bytes)
  return { path, digest: createHash('sha256').update(bytes).digest('hex'), tables }
}

function model(tables: BertTables, output: string): Uint8Array {
  const nodes = [
    node('CumSum', ['attention_mask', 'axis'], 'count'),
    node('Sub', ['count', 'one'], 'places'),
    node('Gather', ['word', 'input_ids'], 'words'),
    node('Gather', ['place', 'places'], 'placed'),
    node('Gather', ['type', 'token_type_ids'], 'typed'),
    node('Add', ['words', 'placed'], 'sum'),
    node('Add', ['sum', 'typed'], output),
  ]
  const initializers = [
    floats('word', tables.word),
    floats('place', tables.place),
    floats('type', tables.type),
    scalar('axis', 1n),
    scalar('one', 1n),
  ]
  const inputs = ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => value(name, INT64, ['B', 'T']))
  const graph = join([
    ...nodes.map((one) => message(1, one)),
    text(2, 'bert'),
    ...initializers.map((one) => message(5, one)),
    ...inputs.map((one) => message(11, one)),
    message(12, value(output, FLOAT, ['B', 'T', BERT.width])),
  ])
  return join([number(1, IR_VERSION), message(8, join([text(1, ''), number(2, OPSET)])), message(7, graph)])
}

function node(operator: string, inputs: readonly string[], output: string): Uint8Array {
  return join([...inputs.map((name) => text(1, name)), text(2, output), text(4, operator)])
}

function floats(name: string, values: Float32Array): Uint8Array {
  const rows = values.length / BERT.width
  return join([number(1, rows), number(1, BERT.width), number(2, FLOAT), text(8, name), message(9, bytesOf(values))])
}

function scalar(name: string, of: bigint): Uint8Array {
  return join([number(2, INT64), text(8, name), message(9, bytesOf(BigInt64Array.of(of)))])
}

function value(name: string, type: number, shape: readonly (string | number)[]): Uint8Array {
  const dimensions = shape.map((size) => message(1, typeof size === 'number' ? number(1, size) : text(2, size)))
  const tensor = join([number(1, type), message(2, join(dimensions))])
  return join([text(1, name), message(2, message(1, tensor))])
}

function number(field: number, of: number): Field {
  return join([varint((field << 3) | VARINT), varint(of)])
}

function text(field: number, of: string): Field {
  return message(field, Buffer.from(of))
}

function message(field: number, body: Uint8Array): Field {
  return join([varint((field << 3) | BYTES), varint(body.length), body])
}

function varint(of: number): Uint8Array {
  const bytes: number[] = []
  for (let rest = of; bytes.length === 0 || rest > 0; rest = Math.floor(rest / 128))
    bytes.push((rest % 128) | (rest >= 128 ? 128 : 0))
  return Uint8Array.from(bytes)
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts)
}
