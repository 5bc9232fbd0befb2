/**
 * GGUF files for tests: copies with more metadata than the original, and files of one's own.
 *
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import type { LoadRequest } from '../../models/backend.ts'
import { TINY_LOAD } from './host.ts'

const TYPES = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const
const F32_TENSOR = 0
const VERSION = 3
/** Magic, version, count of tensors; then comes the count of fields. */
const FIELD_COUNT_AT = 16
const FIELDS_AT = 24
/** Of tensor data; every file that is used here has it. */
const ALIGNMENT = 32

/** A number is a whole one without a sign, unless it is in `float`. */
export type FieldValue =
  | number
  | boolean
  | string
  | { readonly float: number }
  | readonly string[]
  | { readonly ints: readonly number[] }
export type Fields = Readonly<Record<string, FieldValue>>
/** Of 32 bits a number; the length of a row comes first in `shape`. */
export type GgufTensor = { readonly name: string; readonly shape: readonly number[]; readonly values: Float32Array }

/** What llama.cpp calls them. */
export const GGUF_POOLING = { none: 0, mean: 1, cls: 2, last: 3, rank: 4 } as const

/** Makes an encoder of the bundled chat model. @param path  where it is written */
export function ggufEncoderLoad(path: string, pooling: number): LoadRequest {
  const digest = copyGguf(TINY_LOAD.path, path, { 'llama.pooling_type': pooling })
  return { ...TINY_LOAD, path, digest, contextTokens: 128 }
}

/** @returns sha256 of the copy, lowercase hex */
export function copyGguf(from: string, to: string, fields: Fields): string {
  return write(to, withFields(readFileSync(from), fields))
}

/** @returns sha256 of the file, lowercase hex */
export function writeGguf(path: string, fields: Fields, tensors: readonly GgufTensor[]): string {
  const infos: Buffer[] = []
  const data: Buffer[] = []
  let offset = 0
  for (const { name, shape, values } of tensors) {
    infos.push(text(name), u32(shape.length), ...shape.map(u64), u32(F32_TENSOR), u64(offset))
    const bytes = aligned(Buffer.from(values.buffer, values.byteOffset, values.byteLength))
    data.push(bytes)
    offset += bytes.length
  }
  const counts = [u64(tensors.length), u64(Object.keys(fields).length)]
  const head = Buffer.concat([Buffer.from('GGUF'), u32(VERSION), ...counts, fieldsOf(fields), ...infos])
  return write(path, Buffer.concat([aligned(head), ...data]))
}

/** Puts the fields before all others, and one more that fills up to a multiple of the alignment: the tensors stay aligned. */
function withFields(file: Buffer, fields: Fields): Buffer {
  const filled = (filling: string): Buffer => fieldsOf({ ...fields, 'test.filling': filling })
  const added = filled('.'.repeat(ALIGNMENT - (filled('').length % ALIGNMENT)))
  const head = Buffer.from(file.subarray(0, FIELDS_AT))
  const count = head.readBigUInt64LE(FIELD_COUNT_AT) + BigInt(Object.keys(fields).length + 1)
  head.writeBigUInt64LE(count, FIELD_COUNT_AT)
  return Buffer.concat([head, added, file.subarray(FIELDS_AT)])
}

function write(path: string, bytes: Buffer): string {
  writeFileSync(path, bytes)
  return createHash('sha256').update(bytes).digest('hex')
}

function fieldsOf(fields: Fields): Buffer {
  return Buffer.concat(Object.entries(fields).flatMap(([name, value]) => [text(name), ...encodedOf(value)]))
}

function encodedOf(value: FieldValue): readonly Buffer[] {
  if (typeof value === 'number') return [u32(TYPES.uint32), u32(value)]
  if (typeof value === 'boolean') return [u32(TYPES.bool), Buffer.of(value ? 1 : 0)]
  if (typeof value === 'string') return [u32(TYPES.string), text(value)]
  if ('float' in value) return [u32(TYPES.float32), f32(value.float)]
  if ('ints' in value) return listOf(TYPES.int32, value.ints.map(u32))
  return listOf(TYPES.string, value.map(text))
}

function listOf(type: number, items: readonly Buffer[]): readonly Buffer[] {
  return [u32(TYPES.array), u32(type), u64(items.length), ...items]
}

function text(of: string): Buffer {
  return Buffer.concat([u64(Buffer.byteLength(of)), Buffer.from(of)])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function aligned(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)])
}
