/** Bytes that are almost right: of a valid message, with one or a few things changed. */
import { concatBytes } from '../../core/codec/bytes.ts'
import { decodeWire, encodeWire, type Wire } from '../../core/codec/canonical.ts'
import { InvariantError } from '../../core/invariant.ts'
import type { SeededRandom } from '../support/seeded-random.ts'

const RANDOM_BYTES_MAX = 300
const WIRE_BYTES_MAX = 1_048_576
/** Heads of MessagePack that announce much, mean something else, or are not allowed at all. */
const HEADS = [
  0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9,
]
const MORE_HEADS = [
  0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd3, 0xd4, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff,
]
const NUMBERS: readonly Wire[] = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
const WIDE: readonly Wire[] = [0n, 1n, -1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)]
const TEXTS: readonly Wire[] = ['', 'a', '\u0000', '\ufeffa', '💥', 'x'.repeat(31), 'x'.repeat(32), 'é'.repeat(5_000)]
const OTHERS: readonly Wire[] = [true, false, [], [[]], [[[[[[[[]]]]]]]], [0], new Uint8Array(), new Uint8Array(32)]
const STRANGE = [...NUMBERS, ...WIDE, ...TEXTS, ...OTHERS]

export function pick<T>(items: readonly T[], random: SeededRandom): T {
  const item = items[random.below(items.length)]
  if (item === undefined) throw new Error('nothing to pick from')
  return item
}

export function randomBytes(random: SeededRandom): Uint8Array {
  return random.bytes(random.below(RANDOM_BYTES_MAX))
}

/** Changes bytes anywhere; @param other  another valid message, to take a part from */
export function mutateBytes(bytes: Uint8Array, other: Uint8Array, random: SeededRandom): Uint8Array {
  let mutated = Uint8Array.from(bytes)
  for (let left = 1 + random.below(3); left > 0; left -= 1) mutated = changeBytes(mutated, other, random)
  return mutated
}

function changeBytes(bytes: Uint8Array, other: Uint8Array, random: SeededRandom): Uint8Array<ArrayBuffer> {
  const at = random.below(bytes.length + 1)
  const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)]
  const joined = (...parts: readonly Uint8Array[]) => Uint8Array.from(concatBytes(...parts))
  const one = (byte: number) => joined(head, Uint8Array.of(byte), tail.subarray(1))
  switch (random.below(10)) {
    case 0:
      return one((tail[0] ?? 0) ^ (1 << random.below(8)))
    case 1:
      return one(random.below(256))
    case 2:
      return one(pick([...HEADS, ...MORE_HEADS], random))
    case 3:
      return joined(head)
    case 4:
      return joined(head, tail.subarray(random.below(40)))
    case 5:
      return joined(head, random.bytes(random.below(20)), tail)
    case 6:
      return joined(head, tail.subarray(0, random.below(40)), tail)
    case 7:
      return joined(head, other.subarray(random.below(other.length + 1)))
    case 8:
      return joined(head, Uint8Array.from(widened(tail[0] ?? 0)), tail.subarray(1))
    default:
      return one((tail[0] ?? 0) + (random.below(2) === 0 ? 1 : -1))
  }
}

/** The same value in a longer form than the canonical one, where the byte is the head of one. */
function widened(head: number): readonly number[] {
  if (head <= 0x7f) return [0xcc, head]
  if (head >= 0x90 && head <= 0x9f) return [0xdc, 0, head - 0x90]
  if (head >= 0xa0 && head <= 0xbf) return [0xd9, head - 0xa0]
  return head === 0xc4 ? [0xc5, 0] : [head]
}

/** Changes one value of a message and encodes it again, so that the guard lets it through; undefined when that cannot be done. */
export function mutateWire(bytes: Uint8Array, random: SeededRandom): Uint8Array | undefined {
  const wire = decodeWire(bytes, WIRE_BYTES_MAX)
  if (wire.action !== 'accept') return undefined
  try {
    return encodeWire(changeWire(wire.value, random))
  } catch (error) {
    // Too deep or too large: there is no canonical form to send.
    if (error instanceof InvariantError) return undefined
    throw error
  }
}

const isItems = (wire: Wire): wire is readonly Wire[] => Array.isArray(wire)

function changeWire(wire: Wire, random: SeededRandom): Wire {
  if (isItems(wire) && wire.length > 0 && random.below(12) > 0) return changeItem(wire, random)
  if (wire instanceof Uint8Array && wire.length > 0) return changeBinary(wire, random)
  if (typeof wire === 'number' && random.below(2) === 0) return Math.max(0, wire + (random.below(2) === 0 ? 1 : -1))
  if (typeof wire === 'bigint' && wire > 0n && wire < 2n ** 62n && random.below(2) === 0) return wire + 1n
  return random.below(6) === 0 ? [wire] : pick(STRANGE, random)
}

function changeItem(items: readonly Wire[], random: SeededRandom): readonly Wire[] {
  const place = random.below(items.length)
  const item = items[place] ?? 0
  const [before, after] = [items.slice(0, place), items.slice(place + 1)]
  switch (random.below(10)) {
    case 0:
      return [...before, ...after]
    case 1:
      return [...before, item, item, ...after]
    case 2:
      return [...after, item, ...before]
    default:
      return [...before, changeWire(item, random), ...after]
  }
}

/** A byte string is often a message itself. */
function changeBinary(bytes: Uint8Array, random: SeededRandom): Wire {
  const inner = random.below(2) === 0 ? mutateWire(bytes, random) : undefined
  if (inner !== undefined) return inner
  return random.below(4) === 0 ? pick(STRANGE, random) : mutateBytes(bytes, bytes, random)
}
