/** Byte helpers that run in Node and in browsers alike; text forms are exact, so one value has one text. */
import { invariant } from '../invariant.ts'

const HEX_DIGITS = '0123456789abcdef'
const BASE32_DIGITS = 'abcdefghijklmnopqrstuvwxyz234567'
const U16_MAX = 0xffff
const U32_MAX = 0xffff_ffff
const U64_MAX = 0xffff_ffff_ffff_ffffn

const NO_DIGIT = 255
const HEX_VALUES = valuesOf(HEX_DIGITS)
const BASE32_VALUES = valuesOf(BASE32_DIGITS)
const HEX_PAIRS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const encoder = new TextEncoder()
// ignoreBOM keeps a leading U+FEFF: dropping it would give two byte strings one text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The value of each ASCII character as a digit. */
function valuesOf(digits: string): Uint8Array {
  return Uint8Array.from({ length: 128 }, (_, code) => {
    const value = digits.indexOf(String.fromCharCode(code))
    return value < 0 ? NO_DIGIT : value
  })
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}

/** Lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += HEX_PAIRS[byte]
  return text
}

/** @returns undefined unless `text` is exact lowercase hex of whole bytes */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0) return undefined
  const bytes = new Uint8Array(text.length / 2)
  for (let index = 0; index < bytes.length; index += 1) {
    const high = HEX_VALUES[text.charCodeAt(2 * index)] ?? NO_DIGIT
    const low = HEX_VALUES[text.charCodeAt(2 * index + 1)] ?? NO_DIGIT
    if (high === NO_DIGIT || low === NO_DIGIT) return undefined
    bytes[index] = high * 16 + low
  }
  return bytes
}

/** Lowercase base32 without padding (RFC 4648, section 6). */
export function toBase32(bytes: Uint8Array): string {
  let text = ''
  let buffer = 0
  let bitCount = 0
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte
    bitCount += 8
    while (bitCount >= 5) {
      bitCount -= 5
      text += BASE32_DIGITS.charAt((buffer >> bitCount) & 31)
    }
    buffer &= (1 << bitCount) - 1
  }
  return bitCount > 0 ? text + BASE32_DIGITS.charAt((buffer << (5 - bitCount)) & 31) : text
}

/** @returns undefined unless `text` is what `toBase32` writes: no padding, no stray bits, no spare digit */
export function fromBase32(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8))
  let [buffer, bitCount, offset] = [0, 0, 0]
  for (let index = 0; index < text.length; index += 1) {
    const digit = BASE32_VALUES[text.charCodeAt(index)] ?? NO_DIGIT
    if (digit === NO_DIGIT) return undefined
    buffer = (buffer << 5) | digit
    bitCount += 5
    if (bitCount < 8) continue
    bitCount -= 8
    bytes[offset] = buffer >> bitCount
    offset += 1
    buffer &= (1 << bitCount) - 1
  }
  return buffer === 0 && bitCount < 5 ? bytes : undefined
}

/** Compares public data; takes less time the earlier the two differ. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && compareBytes(left, right) === 0
}

/** Orders by unsigned byte, a prefix first. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const shared = Math.min(left.length, right.length)
  for (let index = 0; index < shared; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** Beginnings that were asked for before: the domains are words of this code, and hashing one costs less than encoding it. */
const domainHeads = new Map<string, Uint8Array>()
const DOMAIN_HEADS_MAX = 256

/** "cfab/<domain>/v1" || 0x00: what separates the hashes and signatures of one domain from those of all others. Never written to. */
export function domainHead(domain: string): Uint8Array {
  const known = domainHeads.get(domain)
  if (known !== undefined) return known
  const head = utf8(`cfab/${domain}/v1\0`)
  if (domainHeads.size < DOMAIN_HEADS_MAX) domainHeads.set(domain, head)
  return head
}

/** @returns undefined when the bytes are not UTF-8 */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

export function u16be(value: number): Uint8Array {
  invariant(isUnsigned(value, U16_MAX), 'a u16')
  return Uint8Array.of(value >>> 8, value & 0xff)
}

export function u32be(value: number): Uint8Array {
  invariant(isUnsigned(value, U32_MAX), 'a u32')
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff)
}

export function u32le(value: number): Uint8Array {
  return u32be(value).reverse()
}

export function u64be(value: bigint): Uint8Array {
  invariant(value >= 0n && value <= U64_MAX, 'a u64')
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value)
  return bytes
}

/** Packs token ids as little-endian u32, whatever the machine's own byte order. */
export function idsToBytes(ids: Uint32Array | readonly number[]): Uint8Array {
  const bytes = new Uint8Array(ids.length * 4)
  const view = new DataView(bytes.buffer)
  for (let index = 0; index < ids.length; index += 1) {
    const id = ids[index] ?? 0
    invariant(isUnsigned(id, U32_MAX), 'a token id is a u32')
    view.setUint32(index * 4, id, true)
  }
  return bytes
}

/** @returns undefined when the length is no multiple of four */
export function idsFromBytes(bytes: Uint8Array): Uint32Array | undefined {
  if (bytes.length % 4 !== 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Uint32Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(index * 4, true))
}

function isUnsigned(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max
}
