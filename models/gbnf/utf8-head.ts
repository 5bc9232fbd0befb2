/** What bytes begin with, as the Encoding Standard decodes UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF. */

/** A character, or those that an unfinished one can become; `broken` are bytes that none begins with. */
export type Head =
  | { readonly kind: 'broken' }
  | { readonly kind: 'whole' | 'unfinished'; readonly bytes: number; readonly min: number; readonly max: number }

const BROKEN: Head = { kind: 'broken' }

/** @param at  a place before the end */
export function headOf(bytes: Uint8Array, at: number): Head {
  const first = bytes[at] ?? 0
  if (first < 0x80) return { kind: 'whole', bytes: 1, min: first, max: first }
  const length = lengthOf(first)
  if (length === 0) return BROKEN
  let [min, max, known] = [first & (0x7f >> length), first & (0x7f >> length), 1]
  for (let index = 1; index < length; index++) {
    const [low, high] = index === 1 ? secondOf(first) : [0x80, 0xbf]
    const byte = bytes[at + index]
    if (byte !== undefined && (byte < low || byte > high)) return BROKEN
    if (byte !== undefined) known += 1
    min = (min << 6) | ((byte ?? low) & 0x3f)
    max = (max << 6) | ((byte ?? high) & 0x3f)
  }
  return { kind: known === length ? 'whole' : 'unfinished', bytes: known, min, max }
}

function lengthOf(first: number): number {
  if (first < 0xc2 || first > 0xf4) return 0
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
}

/** What may come second. */
function secondOf(first: number): readonly [number, number] {
  if (first === 0xe0) return [0xa0, 0xbf]
  if (first === 0xed) return [0x80, 0x9f]
  if (first === 0xf0) return [0x90, 0xbf]
  if (first === 0xf4) return [0x80, 0x8f]
  return [0x80, 0xbf]
}
