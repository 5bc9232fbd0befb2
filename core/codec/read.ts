/**
 * Reads bytes that the guard has admitted.
 *
 * Why not msgpackr's Unpackr: without its native add-on it drops a leading U+FEFF from texts above 64 bytes and with it
 * does not, so two nodes would read two values from the same signed bytes; and it builds extension types.
 */
import { invariant } from '../invariant.ts'
import { fromUtf8 } from './bytes.ts'
import type { Wire } from './canonical.ts'

type Cursor = { readonly bytes: Uint8Array; readonly view: DataView; at: number }

/** @param bytes  what `scan` accepted; its depth bound bounds the recursion here */
export function readScanned(bytes: Uint8Array): Wire {
  return readItem({ bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), at: 0 })
}

function readItem(cursor: Cursor): Wire {
  const tag = readUnsigned(cursor, 1)
  if (tag <= 0x7f) return tag
  if (tag <= 0x9f) return readArray(cursor, tag - 0x90)
  if (tag <= 0xbf) return readText(cursor, tag - 0xa0)
  if (tag === 0xc2 || tag === 0xc3) return tag === 0xc3
  if (tag <= 0xc6) return take(cursor, readUnsigned(cursor, 2 ** (tag - 0xc4))).slice()
  if (tag <= 0xce) return readUnsigned(cursor, 2 ** (tag - 0xcc))
  if (tag === 0xcf) return cursor.view.getBigUint64(skip(cursor, 8))
  if (tag === 0xd3) return cursor.view.getBigInt64(skip(cursor, 8))
  if (tag <= 0xdb) return readText(cursor, readUnsigned(cursor, 2 ** (tag - 0xd9)))
  return readArray(cursor, readUnsigned(cursor, 2 ** (tag - 0xdb)))
}

/** Moves on; @returns where the skipped bytes began */
function skip(cursor: Cursor, byteCount: number): number {
  const start = cursor.at
  cursor.at += byteCount
  return start
}

function take(cursor: Cursor, byteCount: number): Uint8Array {
  const start = skip(cursor, byteCount)
  // Uint8Array's own subarray and slice: a Buffer's would hand out Buffers.
  return new Uint8Array(cursor.bytes.buffer, cursor.bytes.byteOffset + start, byteCount)
}

function readUnsigned(cursor: Cursor, byteCount: number): number {
  const start = skip(cursor, byteCount)
  if (byteCount === 1) return cursor.view.getUint8(start)
  return byteCount === 2 ? cursor.view.getUint16(start) : cursor.view.getUint32(start)
}

function readText(cursor: Cursor, byteCount: number): string {
  const text = fromUtf8(take(cursor, byteCount))
  invariant(text !== undefined, 'the guard admits only UTF-8')
  return text
}

function readArray(cursor: Cursor, itemCount: number): readonly Wire[] {
  const items: Wire[] = []
  for (let index = 0; index < itemCount; index += 1) items.push(readItem(cursor))
  return items
}
