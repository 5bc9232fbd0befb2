/**
 * Structural pre-scan of untrusted MessagePack (msgpack.org spec), before anything allocates for it.
 * It admits one encoding per value, so a decoded body re-encodes to the same bytes.
 */
import { accept, type Rejected, reject, type Validation } from '../validation.ts'

export type ScanLimits = { readonly bytesMax: number; readonly depthMax: number; readonly itemsMax: number }

/** Head of one item: where the next one starts and, for an array, how many items it announces. */
type Head = { end: number; children: number }

/**
 * Checks that the bytes are exactly one canonical value within the limits.
 *
 * Why before decoding: msgpackr builds record definitions, dates and typed arrays that a peer asks for by extension types,
 * takes the last of duplicate keys, and accepts several encodings of one integer.
 *
 * @returns reject with the first fault from the left; never throws, and keeps one number per level of depth
 * @see docs/PROTOCOL.md#encoding
 */
export function scan(bytes: Uint8Array, limits: ScanLimits): Validation<true> {
  if (bytes.length > limits.bytesMax) return reject('bytes_too_large')
  const pending = [1]
  let position = 0
  let items = 0
  while (pending.length > 0) {
    const top = pending.length - 1
    const left = pending[top] ?? 0
    if (left === 0) {
      pending.length = top
      continue
    }
    pending[top] = left - 1
    items += 1
    if (items > limits.itemsMax) return reject('bytes_too_many_items')
    const head = readHead(bytes, position)
    if ('reason' in head) return head
    position = head.end
    if (head.children < 0) continue
    if (pending.length > limits.depthMax) return reject('bytes_too_deep')
    if (head.children > limits.itemsMax - items) return reject('bytes_too_many_items')
    if (head.children > bytes.length - position) return reject('bytes_truncated')
    pending.push(head.children)
  }
  return position === bytes.length ? accept(true) : reject('bytes_trailing')
}

const NOT_AN_ARRAY = -1
/** Smallest value that may use a length or integer field of 1, 2 and 4 bytes. */
const UINT_MIN = [0x80, 0x100, 0x1_0000]
const TEXT_MIN = [0x20, 0x100, 0x1_0000]
const BIN_MIN = [0, 0x100, 0x1_0000]
const ARRAY_MIN = [0x10, 0x1_0000]

function readHead(bytes: Uint8Array, at: number): Head | Rejected {
  const tag = bytes[at]
  if (tag === undefined) return reject('bytes_truncated')
  if (tag <= 0x7f) return scalar(at + 1)
  if (tag >= 0x90 && tag <= 0x9f) return { end: at + 1, children: tag - 0x90 }
  if (tag >= 0xa0 && tag <= 0xbf) return text(bytes, at + 1, tag - 0xa0)
  if (tag === 0xc2 || tag === 0xc3) return scalar(at + 1)
  if (tag >= 0xc4 && tag <= 0xc6) return binary(bytes, at + 1, tag - 0xc4)
  if (tag >= 0xcc && tag <= 0xce) return unsigned(bytes, at + 1, tag - 0xcc)
  if (tag === 0xcf || tag === 0xd3) return wide(bytes, at + 1, tag)
  if (tag >= 0xd9 && tag <= 0xdb) return sizedText(bytes, at + 1, tag - 0xd9)
  if (tag === 0xdc || tag === 0xdd) return array(bytes, at + 1, tag - 0xdc + 1)
  return reject('bytes_type_not_allowed')
}

function scalar(end: number): Head {
  return { end, children: NOT_AN_ARRAY }
}

/** @param power  the field is 2^power bytes, big-endian; @returns -1 when it is cut off */
function readLength(bytes: Uint8Array, at: number, power: number): number {
  const end = at + 2 ** power
  if (end > bytes.length) return -1
  let value = 0
  for (let index = at; index < end; index += 1) value = value * 256 + (bytes[index] ?? 0)
  return value
}

function unsigned(bytes: Uint8Array, at: number, power: number): Head | Rejected {
  const value = readLength(bytes, at, power)
  if (value < 0) return reject('bytes_truncated')
  return value < (UINT_MIN[power] ?? 0) ? reject('bytes_not_canonical') : scalar(at + 2 ** power)
}

/** A wide integer is int64 where it fits: uint64 carries only 2^63 and above. */
function wide(bytes: Uint8Array, at: number, tag: number): Head | Rejected {
  const first = bytes[at]
  if (first === undefined || at + 8 > bytes.length) return reject('bytes_truncated')
  return tag === 0xcf && first < 0x80 ? reject('bytes_not_canonical') : scalar(at + 8)
}

function binary(bytes: Uint8Array, at: number, power: number): Head | Rejected {
  const length = readLength(bytes, at, power)
  if (length < 0) return reject('bytes_truncated')
  if (length < (BIN_MIN[power] ?? 0)) return reject('bytes_not_canonical')
  const end = at + 2 ** power + length
  return end > bytes.length ? reject('bytes_truncated') : scalar(end)
}

function sizedText(bytes: Uint8Array, at: number, power: number): Head | Rejected {
  const length = readLength(bytes, at, power)
  if (length < 0) return reject('bytes_truncated')
  return length < (TEXT_MIN[power] ?? 0) ? reject('bytes_not_canonical') : text(bytes, at + 2 ** power, length)
}

function text(bytes: Uint8Array, start: number, length: number): Head | Rejected {
  const end = start + length
  if (end > bytes.length) return reject('bytes_truncated')
  return isUtf8(bytes, start, end) ? scalar(end) : reject('bytes_not_canonical', 'text')
}

function array(bytes: Uint8Array, at: number, power: number): Head | Rejected {
  const children = readLength(bytes, at, power)
  if (children < 0) return reject('bytes_truncated')
  return children < (ARRAY_MIN[power - 1] ?? 0) ? reject('bytes_not_canonical') : { end: at + 2 ** power, children }
}

/** Well-formed UTF-8 (Unicode 15, table 3-7): no overlong form, no surrogate, nothing above U+10FFFF. */
function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let position = start
  while (position < end) {
    const length = sequenceLength(bytes[position] ?? 0, bytes[position + 1] ?? 0)
    if (length === 0 || position + length > end) return false
    for (let index = position + 1; index < position + length; index += 1) {
      if (((bytes[index] ?? 0) & 0xc0) !== 0x80) return false
    }
    position += length
  }
  return true
}

/** @returns 0 for a pair of bytes that starts no well-formed sequence */
function sequenceLength(first: number, second: number): number {
  if (first < 0x80) return 1
  if (first < 0xc2 || first > 0xf4) return 0
  if (first < 0xe0) return 2
  if (first === 0xe0) return second >= 0xa0 ? 3 : 0
  if (first === 0xed) return second < 0xa0 ? 3 : 0
  if (first < 0xf0) return 3
  if (first === 0xf0) return second >= 0x90 ? 4 : 0
  return first === 0xf4 && second >= 0x90 ? 0 : 4
}
