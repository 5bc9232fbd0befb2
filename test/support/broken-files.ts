/** Copies of the bundled model that are cut short or have bits turned, for engines that must survive them. */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import type { LoadRequest } from '../../models/backend.ts'
import { TINY_LOAD } from './host.ts'
import type { SeededRandom } from './seeded-random.ts'

export type BrokenFile = { readonly name: string; readonly bytes: Uint8Array }

/** Magic, version and counts. */
const PREFIX_BYTES = 24
/** Sizes, types and counts stand in the first part of the metadata, then come half a megabyte of tokens and merges. */
const FIELDS_BYTES = 1_200
/** Behind the metadata stand the tensors' names, shapes, types and offsets. */
const TENSORS_MARK = 'token_embd.weight'

const WHOLE = readFileSync(TINY_LOAD.path)
const TENSORS_AT = WHOLE.indexOf(TENSORS_MARK)
const DATA_AT = tensorDataAt()

type Part = { readonly name: string; readonly from: number; readonly to: number }
const PARTS: readonly Part[] = [
  { name: 'prefix', from: 0, to: PREFIX_BYTES },
  { name: 'fields', from: PREFIX_BYTES, to: FIELDS_BYTES },
  { name: 'metadata', from: FIELDS_BYTES, to: TENSORS_AT },
  { name: 'tensors', from: TENSORS_AT - 8, to: DATA_AT },
  { name: 'data', from: DATA_AT, to: WHOLE.length },
]

/** Where the last tensor's name, and what belongs to it, ends. */
function tensorDataAt(): number {
  const last = WHOLE.lastIndexOf('.weight', TENSORS_AT + 65_536)
  return Math.ceil((last + 64) / 32) * 32
}

/** One of every kind in turn: cut short, one bit turned, a word of ones, a word of zeros, bytes of chance. */
export function brokenFile(index: number, random: SeededRandom): BrokenFile {
  const part = PARTS[random.below(PARTS.length)] ?? PARTS[0]
  if (part === undefined) throw new Error('there are parts')
  const at = part.from + random.below(part.to - part.from - 8)
  const bytes = Buffer.from(WHOLE)
  const named = (kind: string, broken: Uint8Array = bytes): BrokenFile => ({
    name: `${kind} ${part.name} ${at}`,
    bytes: broken,
  })
  switch (index % 5) {
    case 0:
      return named('cut', WHOLE.subarray(0, at))
    case 1:
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at)
      return named('bit')
    case 2:
      bytes.fill(0xff, at, at + 1 + random.below(8))
      return named('ones')
    case 3:
      bytes.fill(0, at, at + 1 + random.below(8))
      return named('zeros')
    default:
      bytes.set(random.bytes(1 + random.below(8)), at)
      return named('chance')
  }
}

/** Writes the bytes and asks for them by their own digest: only the engine can find fault with them. */
export function loadOf(bytes: Uint8Array, path: string): LoadRequest {
  writeFileSync(path, bytes)
  return { ...TINY_LOAD, path, digest: createHash('sha256').update(bytes).digest('hex') }
}
