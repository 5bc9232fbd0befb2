/** Entries that are only a chain: index, previous hash and a payload; enough for a region log, which reads no more. */
import { sha256 } from '#core/hash'
import { concatBytes, u64be } from '../../core/codec/bytes.ts'
import type { EntryLink } from '../../node/runtime/ports.ts'

const PAYLOAD_OFFSET = 40
export const EMPTY_HASH: Uint8Array = new Uint8Array(32)

export function toyEntry(index: bigint, previous: Uint8Array, payload: Uint8Array = new Uint8Array(1)): Uint8Array {
  return concatBytes(u64be(index), previous, payload)
}

export function toyLink(bytes: Uint8Array): EntryLink | undefined {
  if (bytes.length < PAYLOAD_OFFSET) return undefined
  const index = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
  return { index, previous: bytes.slice(8, PAYLOAD_OFFSET), hash: sha256(bytes) }
}

/** `count` entries that follow from each other and from what is given. */
export function toyChain(count: number, from = 0n, previous = EMPTY_HASH): readonly Uint8Array[] {
  const chain: Uint8Array[] = []
  let hash = previous
  for (let place = 0; place < count; place += 1) {
    const bytes = toyEntry(from + BigInt(place), hash)
    chain.push(bytes)
    hash = sha256(bytes)
  }
  return chain
}
